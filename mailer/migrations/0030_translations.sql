-- A variant of an edition may be a translation: it has a language, a title, a subject and an address of its own. The names begin
-- with own_, because statements of the code before name the edition's columns without a table.
SET LOCAL lock_timeout = '5s';
SET LOCAL statement_timeout = '60s';

ALTER TABLE edition_variants
ADD COLUMN own_lang text NOT NULL DEFAULT '',              -- empty, in each of these: as the edition's
ADD COLUMN own_title text NOT NULL DEFAULT '',
ADD COLUMN own_subject text NOT NULL DEFAULT '',
ADD COLUMN own_url text NOT NULL DEFAULT '';
