-- SPDX-License-Identifier: MIT
--
-- words.sql - reads the words of words.tsv into a table; counts, joins, changes and sorts them.
CREATE TABLE word (text TEXT, file TEXT, line INTEGER);
.mode tabs
.import words.tsv word
CREATE INDEX by_text ON word (text, file, line);
CREATE TABLE file AS SELECT file AS name, count(*) AS nwords, count(DISTINCT text) AS ndistinct
    FROM word GROUP BY file ORDER BY file;
SELECT * FROM file;
SELECT text, count(*), group_concat(DISTINCT file) FROM word
    GROUP BY text ORDER BY count(*) DESC, text LIMIT 1000;
SELECT a.text, b.text, count(*) FROM word a
    JOIN word b ON a.file = b.file AND b.line = a.line AND a.rowid + 1 = b.rowid
    GROUP BY 1, 2 ORDER BY 3 DESC, 1, 2 LIMIT 1000;
DELETE FROM word WHERE length(text) < 4;
UPDATE word SET text = upper(text) || '-' || length(text) WHERE line % 3 = 0;
SELECT text, file, line FROM word ORDER BY text DESC, file, line LIMIT 5000;
PRAGMA integrity_check;
