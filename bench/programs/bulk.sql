-- Inserts 200,000 rows, indexes and queries them, and deletes half of them.
CREATE TABLE reading (id INTEGER PRIMARY KEY, place TEXT, note TEXT, value REAL);
BEGIN;
WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 200000)
INSERT INTO reading
    SELECT i, 'place ' || i * 7919 % 5003, printf('%.*c', i % 90, 'x'), i * 0.37 FROM n;
COMMIT;
CREATE INDEX by_place ON reading (place, value);
CREATE INDEX by_value ON reading (value);
SELECT place, count(*), avg(value), group_concat(id % 10) FROM reading
    GROUP BY place ORDER BY 3 DESC LIMIT 10;
SELECT count(*) FROM reading a JOIN reading b ON b.id = a.id * 2 WHERE a.place < b.place;
DELETE FROM reading WHERE id % 2 = 0;
SELECT count(*), sum(length(note)) FROM reading;
