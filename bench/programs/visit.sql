-- What each visitor of the shop does, in turn, again and again.
INSERT INTO bought (visitor, article, note)
    SELECT connection_id(), id, concat('note ', name) FROM article
    WHERE id % 50 = connection_id() % 50;
SELECT kind, count(*), sum(price), group_concat(name) FROM article
    GROUP BY kind HAVING count(*) > 2 ORDER BY 3;
SELECT name FROM article
    WHERE price > (SELECT avg(price) FROM article other WHERE other.kind = article.kind)
    UNION SELECT note FROM bought WHERE visitor = connection_id() ORDER BY 1 LIMIT 20;
SELECT one.name, replace(upper(other.name), 'ART', concat(one.kind, '-')) AS label
    FROM article one JOIN article other ON other.id = one.id * 2
    WHERE one.kind < 10 ORDER BY other.price, label LIMIT 20;
DELETE FROM bought WHERE visitor = connection_id();
