-- What was told to whom. A channel is the SHA-256 (12 hex) of a notification URL, which itself is a secret and not kept.
-- While over_at is empty the channel has been told that it began and not yet that it is over.
CREATE TABLE core_notifications (
    event_key TEXT NOT NULL,
    channel TEXT NOT NULL,
    kind TEXT NOT NULL,
    week_ending TEXT,
    tier TEXT,
    severity TEXT NOT NULL,
    message TEXT NOT NULL,
    began_at TEXT NOT NULL,
    told_at TEXT NOT NULL,
    over_at TEXT,
    PRIMARY KEY (event_key, channel)
);
