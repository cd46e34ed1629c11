-- Stock and reservations. `available` is what can still be reserved.
CREATE SCHEMA IF NOT EXISTS inventory AUTHORIZATION shop;
SET ROLE shop;

CREATE TABLE IF NOT EXISTS inventory.stock (
    sku text PRIMARY KEY,
    name text NOT NULL,
    available integer NOT NULL CHECK (available >= 0),
    updated_at timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE IF NOT EXISTS inventory.reservations (
    id uuid PRIMARY KEY,
    status text NOT NULL CHECK (status IN ('reserved', 'released')),
    items jsonb NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    released_at timestamptz
);

INSERT INTO inventory.stock (sku, name, available) VALUES
    ('mug-blue', 'Mug, blue', 250000),
    ('mug-green', 'Mug, green', 250000),
    ('tee-black', 'T-shirt, black', 250000),
    ('tee-white', 'T-shirt, white', 250000),
    ('poster-a2', 'Poster, A2', 250000),
    ('sticker-pack', 'Sticker pack', 250000),
    ('cap-navy', 'Cap, navy', 250000),
    ('bag-canvas', 'Canvas bag', 250000),
    ('display-stand', 'Display stand', 12)
ON CONFLICT DO NOTHING;

RESET ROLE;
