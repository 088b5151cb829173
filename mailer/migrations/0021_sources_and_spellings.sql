-- What clients of the API write and read as it was written: names of tags, sources of issues, images of drafts.
SET LOCAL lock_timeout = '5s';
SET LOCAL statement_timeout = '60s';

ALTER TABLE tags ADD COLUMN label text NOT NULL DEFAULT '';           -- the name as it was written; empty: as in `name`

ALTER TABLE editions ADD COLUMN source text NOT NULL DEFAULT '';      -- the issue's Markdown; empty in editions of before
ALTER TABLE editions ADD COLUMN image text NOT NULL DEFAULT '';       -- the address of its picture, if it has one

-- The latest text of issues that have no send: of an adopted archive, nothing else is stored.
CREATE TABLE issue_texts (
    key text PRIMARY KEY REFERENCES issues (key) ON DELETE CASCADE,
    subject text NOT NULL,
    preheader text NOT NULL,
    image text NOT NULL,
    source text NOT NULL,
    html text NOT NULL,
    text text NOT NULL
);

ALTER TABLE drafts ADD COLUMN claimed_until timestamptz;              -- while a request pushes it

-- Images that clients uploaded. They are committed with the drafts that show them.
CREATE TABLE draft_images (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name text NOT NULL UNIQUE,                                        -- of the file, below the folder of images
    digest bytea NOT NULL UNIQUE,                                     -- SHA-256 of its content
    content bytea NOT NULL,
    metadata jsonb NOT NULL DEFAULT '{}',
    created_at timestamptz NOT NULL DEFAULT now()
);

-- Resources that one request at a time may change.
CREATE TABLE resource_claims (
    path text PRIMARY KEY,
    claimed_until timestamptz NOT NULL
);
