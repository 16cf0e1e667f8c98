-- The tables of a shop, before its visitors come.
CREATE TABLE article (id INT PRIMARY KEY, kind INT, name VARCHAR(60), price DOUBLE, KEY (kind))
    TRANSACTIONAL = 0;
INSERT INTO article
    SELECT seq, seq * 7919 % 40, concat('article ', seq), seq * 37 % 1009 FROM seq_1_to_1000;
CREATE TABLE bought (id INT AUTO_INCREMENT PRIMARY KEY, visitor INT, article INT, note TEXT,
    KEY (visitor)) TRANSACTIONAL = 0;
