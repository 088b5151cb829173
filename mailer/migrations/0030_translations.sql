-- A variant of an edition may be a translation: it has a language, a title, a subject and an address of its own.
SET LOCAL lock_timeout = '5s';
SET LOCAL statement_timeout = '60s';

ALTER TABLE edition_variants
ADD COLUMN lang text NOT NULL DEFAULT '',              -- empty, in each of these: as the edition's
ADD COLUMN title text NOT NULL DEFAULT '',
ADD COLUMN subject text NOT NULL DEFAULT '',
ADD COLUMN url text NOT NULL DEFAULT '';
