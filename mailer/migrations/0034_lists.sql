-- Lists that programs bring and fetch through the API: an upload waits for the word to import it, an export is a description
-- of what is written when it is fetched.
SET LOCAL lock_timeout = '5s';
SET LOCAL statement_timeout = '60s';

CREATE TABLE imports (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    file text NOT NULL,                        -- its name, as the client says
    label text NOT NULL DEFAULT '',
    format text NOT NULL,                      -- the program it comes from
    metadata jsonb NOT NULL DEFAULT '{}',      -- what the client says about its columns, and the evidence
    plan jsonb NOT NULL,                       -- counts; never an address
    state text NOT NULL DEFAULT 'not_started' CHECK (state IN ('not_started', 'in_progress', 'succeeded', 'failed')),
    results jsonb,                             -- counts and lines; never an address
    run_id bigint REFERENCES import_runs (id),
    started_at timestamptz,
    created_at timestamptz NOT NULL DEFAULT now()
);

-- The file itself, in pieces; gone when it is imported, and after a day.
CREATE TABLE import_parts (
    import_id bigint NOT NULL REFERENCES imports (id) ON DELETE CASCADE,
    place integer NOT NULL,
    bytes bytea NOT NULL,
    PRIMARY KEY (import_id, place)
);

CREATE TABLE exports (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    collections text [] NOT NULL,
    format text NOT NULL CHECK (format IN ('csv', 'json')),
    columns text [],
    parameters jsonb,
    created_at timestamptz NOT NULL DEFAULT now()
);
