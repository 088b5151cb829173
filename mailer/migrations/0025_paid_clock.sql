-- Pauses that end by themselves are found without reading every subscription.
SET LOCAL lock_timeout = '5s';
SET LOCAL statement_timeout = '60s';

-- squawk-ignore require-concurrent-index-creation
CREATE INDEX subscriptions_resuming ON subscriptions (resumes_at) WHERE resumes_at IS NOT NULL;
-- squawk-ignore require-concurrent-index-creation
CREATE INDEX accesses_running_out ON accesses (until) WHERE premium AND until IS NOT NULL;
