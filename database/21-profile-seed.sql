-- Ten named profiles and 990 more. Postgres and SQLite both run this file.
INSERT INTO users (id, email, name, plan, country) VALUES
    (1, 'ada@shop.test', 'Ada', 'business', 'GB'),
    (2, 'blaise@shop.test', 'Blaise', 'plus', 'FR'),
    (3, 'chandra@shop.test', 'Chandra', 'business', 'IN'),
    (4, 'dorothy@shop.test', 'Dorothy', 'free', 'US'),
    (5, 'emmy@shop.test', 'Emmy', 'plus', 'DE'),
    (6, 'fibonacci@shop.test', 'Fibonacci', 'free', 'IT'),
    (7, 'grace@shop.test', 'Grace', 'business', 'US'),
    (8, 'hypatia@shop.test', 'Hypatia', 'plus', 'EG'),
    (9, 'ibn@shop.test', 'Ibn', 'free', 'IQ'),
    (10, 'joan@shop.test', 'Joan', 'plus', 'GB')
ON CONFLICT DO NOTHING;

INSERT INTO users (id, email, name, plan, country)
WITH RECURSIVE numbers (n) AS (
    SELECT 11
    UNION ALL
    SELECT n + 1 FROM numbers WHERE n < 1000
)
SELECT
    n,
    'user' || n || '@shop.test',
    'User ' || n,
    CASE n % 3 WHEN 0 THEN 'business' WHEN 1 THEN 'plus' ELSE 'free' END,
    CASE n % 4 WHEN 0 THEN 'DE' WHEN 1 THEN 'US' WHEN 2 THEN 'IN' ELSE 'BR' END
FROM numbers
WHERE true
ON CONFLICT DO NOTHING;
