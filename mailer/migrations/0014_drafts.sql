-- Issues written through the API, which are files on branches of the repository until a merge makes them issues of the ledger.
SET LOCAL lock_timeout = '5s';
SET LOCAL statement_timeout = '60s';

CREATE TABLE drafts (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    key text NOT NULL UNIQUE,                  -- of the issue that it becomes
    branch text NOT NULL,
    path text NOT NULL,                        -- of its file, from the root of the repository
    fields jsonb NOT NULL,                     -- what the client gave
    source text NOT NULL,                      -- the whole file
    pushed_commit text NOT NULL DEFAULT '',    -- the branch's last one that is ours; empty: none yet
    pull_request text NOT NULL DEFAULT '',     -- its address, if the forge has pull requests
    reason text NOT NULL DEFAULT '',           -- why the last change is not in the repository
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now()
);
