-- Exercises sqlite3: indexes, joins, windows, triggers and text of many lengths in 10^5 rows.
PRAGMA cache_size = -4000;
CREATE TABLE person (id INTEGER PRIMARY KEY, name TEXT, town INTEGER, born INTEGER);
CREATE TABLE town (id INTEGER PRIMARY KEY, name TEXT UNIQUE);
CREATE TABLE log (what TEXT, id INTEGER);
CREATE TRIGGER gone AFTER DELETE ON person BEGIN INSERT INTO log VALUES ('gone', old.id); END;
BEGIN;
WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 500)
INSERT INTO town SELECT i, 'town ' || (i * 7919 % 503) || '.' || i FROM n;
WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 100000)
INSERT INTO person
    SELECT i, printf('%.*c%d', i % 60, 'n', i * 7919 % 100003), i * 31 % 500 + 1,
           1900 + i * 13 % 120 FROM n;
COMMIT;
CREATE INDEX by_name ON person (name);
CREATE INDEX by_town ON person (town, born);
SELECT count(*), sum(length(name)), min(name), max(name) FROM person;
SELECT t.name, count(*), avg(p.born), group_concat(DISTINCT p.born % 7)
    FROM person p JOIN town t ON t.id = p.town GROUP BY t.id HAVING count(*) > 199
    ORDER BY t.name LIMIT 40;
SELECT a.id, b.id FROM person a JOIN person b ON a.name = b.name AND a.id < b.id
    ORDER BY 1, 2 LIMIT 20;
SELECT id, rank() OVER (PARTITION BY town ORDER BY born, id) AS r FROM person
    ORDER BY r DESC, id LIMIT 20;
DELETE FROM person WHERE id % 10 = 3;
UPDATE person SET name = name || '!' WHERE born < 1910;
SELECT count(*), sum(id) FROM log;
SELECT count(*), sum(length(name)) FROM person;
VACUUM;
PRAGMA integrity_check;
SELECT nothing FROM person;
