-- Editions with another text for some readers, and which text a reader's mail was made from.
SET LOCAL lock_timeout = '5s';
SET LOCAL statement_timeout = '60s';

CREATE TABLE edition_variants (
    edition_id bigint NOT NULL REFERENCES editions (id),
    name text NOT NULL,
    digest text NOT NULL,
    preheader text NOT NULL,
    html text NOT NULL,
    text text NOT NULL,
    body text NOT NULL,
    PRIMARY KEY (edition_id, name)
);

-- Set by the claim: the access at that moment decides. Empty: the text that everybody may read.
ALTER TABLE deliveries ADD COLUMN variant text;
