-- How far each subscriber has been sent the log of events. An endpoint is the SHA-256 (12 hex) of its URL, which may hold a
-- secret and is kept only without it. `attempts` counts those of the event after `cursor`; its next one is not before next_try_at.
CREATE TABLE core_webhooks (
    endpoint TEXT PRIMARY KEY,
    address TEXT NOT NULL,
    cursor BIGINT NOT NULL,
    attempts INTEGER NOT NULL DEFAULT 0,
    next_try_at TEXT,
    last_error TEXT,
    updated_at TEXT NOT NULL
);

-- Events that a subscriber did not accept in all attempts: the cursor has moved past them, they are sent again on request only.
CREATE TABLE core_webhook_dead_letters (
    endpoint TEXT NOT NULL,
    seq BIGINT NOT NULL,
    error TEXT NOT NULL,
    given_up_at TEXT NOT NULL,
    PRIMARY KEY (endpoint, seq)
);
