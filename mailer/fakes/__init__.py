"""Fakes for tests and rehearsals: Amazon SES, SQS, SNS and Stripe on sockets. They know nothing of the rest of the program."""
