-- The payment processor's ledger.
RESET search_path;
CREATE SCHEMA IF NOT EXISTS payment AUTHORIZATION shop;
SET ROLE shop;

CREATE TABLE IF NOT EXISTS payment.customers (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name text NOT NULL,
    email text NOT NULL,
    trusted boolean NOT NULL DEFAULT false,
    created_at timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE IF NOT EXISTS payment.account_balances (
    customer_id bigint PRIMARY KEY REFERENCES payment.customers,
    balance numeric(14, 2) NOT NULL CHECK (balance >= 0),
    updated_at timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE IF NOT EXISTS payment.payment_methods (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    customer_id bigint NOT NULL REFERENCES payment.customers,
    kind text NOT NULL CHECK (kind IN ('card', 'bank_transfer', 'wallet')),
    label text NOT NULL,
    card_range text CHECK (card_range ~ '^[0-9]{6}$'),
    created_at timestamptz NOT NULL DEFAULT now()
);
ALTER TABLE payment.payment_methods
ADD COLUMN IF NOT EXISTS card_range text CHECK (card_range ~ '^[0-9]{6}$');

-- `refundable` is what is left of a captured payment. Settled money is the sum
-- of captured payments less the captured refunds.
CREATE TABLE IF NOT EXISTS payment.transactions (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    customer_id bigint NOT NULL REFERENCES payment.customers,
    kind text NOT NULL CHECK (kind IN ('payment', 'refund')),
    amount numeric(12, 2) NOT NULL CHECK (amount > 0),
    status text NOT NULL CHECK (status IN ('pending', 'captured', 'declined', 'failed')),
    reason text,
    refundable numeric(12, 2) NOT NULL DEFAULT 0 CHECK (refundable >= 0 AND refundable <= amount),
    refund_of bigint REFERENCES payment.transactions,
    reservation_id uuid,
    created_at timestamptz NOT NULL DEFAULT now(),
    completed_at timestamptz
);
CREATE INDEX IF NOT EXISTS transactions_created_at ON payment.transactions (created_at);
CREATE INDEX IF NOT EXISTS transactions_pending ON payment.transactions (created_at)
WHERE status = 'pending';
CREATE INDEX IF NOT EXISTS transactions_refundable ON payment.transactions (customer_id, refundable)
WHERE kind = 'payment' AND status = 'captured' AND refundable > 0;

-- Payments that went through without a fraud check, for a person to look at.
CREATE TABLE IF NOT EXISTS payment.fraud_reviews (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    transaction_id bigint NOT NULL REFERENCES payment.transactions,
    reason text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now()
);

-- Stock that an ended payment still has to give back.
CREATE TABLE IF NOT EXISTS payment.releases (
    reservation_id uuid PRIMARY KEY,
    created_at timestamptz NOT NULL DEFAULT now(),
    released_at timestamptz
);
CREATE INDEX IF NOT EXISTS releases_due ON payment.releases (created_at) WHERE released_at IS NULL;

CREATE TABLE IF NOT EXISTS payment.idempotency_keys (
    route text NOT NULL,
    key text NOT NULL,
    request_hash text NOT NULL,
    started_at timestamptz NOT NULL DEFAULT now(),
    response_status integer,
    response_body jsonb,
    PRIMARY KEY (route, key)
);

CREATE TABLE IF NOT EXISTS payment.webhook_events (
    event_id text PRIMARY KEY,
    type text NOT NULL,
    data jsonb NOT NULL,
    received_at timestamptz NOT NULL DEFAULT now()
);

-- The card acquirers, whether each accepts our transactions, and of which cards it does not.
CREATE TABLE IF NOT EXISTS payment.acquirers (
    name text PRIMARY KEY,
    accepts boolean NOT NULL DEFAULT true,
    refused_card_ranges text[] NOT NULL DEFAULT '{}'
);
ALTER TABLE payment.acquirers ADD COLUMN IF NOT EXISTS refused_card_ranges text[] NOT NULL DEFAULT '{}';

INSERT INTO payment.acquirers (name) VALUES ('primary'), ('backup') ON CONFLICT DO NOTHING;

INSERT INTO payment.customers (name, email, trusted)
SELECT * FROM (VALUES
    ('Anvil Bakery Supplies', 'accounts@anvil.test', false),
    ('Birch Street Books', 'accounts@birch.test', false),
    ('Copperfield Bicycles', 'accounts@copperfield.test', false),
    ('Dune Lemonade Stand', 'accounts@dune.test', false),
    ('Evergreen Hospitals', 'accounts@evergreen.test', true),
    ('Foundry City Council', 'accounts@foundry.test', true)
) AS seed
WHERE NOT EXISTS (SELECT FROM payment.customers);

INSERT INTO payment.account_balances (customer_id, balance) VALUES
    (1, 4812330.40), (2, 5120045.10), (3, 4975910.75), (4, 25.00), (5, 6200000.00), (6, 7450800.20)
ON CONFLICT DO NOTHING;

INSERT INTO payment.payment_methods (customer_id, kind, label)
SELECT * FROM (VALUES
    (1, 'card', 'card ending 4242'),
    (2, 'card', 'card ending 1881'),
    (3, 'bank_transfer', 'account ending 0532'),
    (4, 'wallet', 'wallet'),
    (5, 'bank_transfer', 'account ending 7719')
) AS seed
WHERE NOT EXISTS (SELECT FROM payment.payment_methods);
UPDATE payment.payment_methods AS m SET card_range = seed.card_range
FROM (VALUES (1, 'card ending 4242', '424242'), (2, 'card ending 1881', '401288'))
AS seed (customer_id, label, card_range)
WHERE m.customer_id = seed.customer_id AND m.label = seed.label AND m.card_range IS NULL;

INSERT INTO payment.transactions (customer_id, kind, amount, status, refundable, completed_at)
SELECT seed.customer_id, 'payment', seed.amount, 'captured', seed.amount, now() FROM (VALUES
    (1, 48000.00), (2, 61500.00), (3, 39900.00), (5, 72250.00), (6, 18400.00)
) AS seed (customer_id, amount)
WHERE NOT EXISTS (SELECT FROM payment.transactions);

RESET ROLE;
