"""What a rehearsal needs: a stand-in for Amazon SES, SQS and SNS on a socket. Knows nothing of the rest of the program."""
