-- What operators set, and the trail of it. Every service writes its own rows.
CREATE SCHEMA IF NOT EXISTS ops AUTHORIZATION shop;
SET ROLE shop;

CREATE TABLE IF NOT EXISTS ops.settings (
    service text NOT NULL,
    name text NOT NULL,
    value jsonb NOT NULL,
    changed_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (service, name)
);

CREATE TABLE IF NOT EXISTS ops.setting_changes (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at timestamptz NOT NULL DEFAULT now(),
    service text NOT NULL,
    actor text NOT NULL,
    name text NOT NULL,
    old_value jsonb,
    new_value jsonb
);

-- The platform's services keep their settings here too.
GRANT USAGE ON SCHEMA ops TO platform;
GRANT SELECT, INSERT, UPDATE, DELETE ON ops.settings TO platform;
GRANT SELECT, INSERT ON ops.setting_changes TO platform;

RESET ROLE;
