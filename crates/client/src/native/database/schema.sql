-- The home's database. Values of `state` and bodies of `message` are sealed under the home's key;
-- who wrote with whom and when is not (see docs/decisions/0043).

-- Rows of the core, by table number and key.
CREATE TABLE state (
    tab   INTEGER NOT NULL,
    key   BLOB NOT NULL,
    value BLOB NOT NULL,
    PRIMARY KEY (tab, key)
) WITHOUT ROWID;

-- name: the contact's handle, or 'group:' and the group's id.
CREATE TABLE chat (
    id       INTEGER PRIMARY KEY,
    name     TEXT NOT NULL UNIQUE,
    verified INTEGER NOT NULL DEFAULT 0,
    notice   TEXT
);

-- account, device, counter: the message id. state: 0 pending, 1 accepted, 2 delivered, 3 read,
-- 4 failed. outgoing: of this account, from any of its devices. sender: in groups, who sent it.
-- note: 0 none, 1 waiting, 2 lost, 3 update needed, 4 deleted (its body is empty), 5 timer. timer:
-- seconds from sending or reading until it disappears, 0 never; expires_at: when, once its clock runs.
-- Times are unix milliseconds.
CREATE TABLE message (
    row         INTEGER PRIMARY KEY,
    chat        INTEGER NOT NULL,
    account     INTEGER NOT NULL,
    device      INTEGER NOT NULL,
    counter     INTEGER NOT NULL,
    outgoing    INTEGER NOT NULL,
    state       INTEGER NOT NULL,
    failure     INTEGER NOT NULL DEFAULT 0,
    note        INTEGER NOT NULL DEFAULT 0,
    sent_at     INTEGER NOT NULL,
    received_at INTEGER,
    body        BLOB NOT NULL,
    sender      TEXT,
    timer       INTEGER NOT NULL DEFAULT 0,
    expires_at  INTEGER
);
CREATE UNIQUE INDEX message_id ON message (account, device, counter);
CREATE INDEX message_chat ON message (chat, row);
CREATE INDEX message_incoming ON message (row) WHERE outgoing = 0;
CREATE INDEX message_open ON message (chat, state, counter) WHERE outgoing = 1 AND state IN (1, 2);
CREATE INDEX message_unread ON message (chat, counter) WHERE outgoing = 0 AND state = 2;
CREATE INDEX message_expiry ON message (expires_at) WHERE expires_at IS NOT NULL;

-- What is said about messages: one row for each message (account, device, counter), kind (a field of
-- the body: 4 reaction, 5 edit, 6 deletion, 22 vote, 23 star) and author. row: of the same order as
-- messages, for who reads what came. at, by_device, by_counter: the highest is kept. waits: its message
-- is not in the history yet. body: sealed under the id author, by_device, by_counter.
CREATE TABLE annotation (
    chat       INTEGER NOT NULL,
    account    INTEGER NOT NULL,
    device     INTEGER NOT NULL,
    counter    INTEGER NOT NULL,
    kind       INTEGER NOT NULL,
    author     INTEGER NOT NULL,
    row        INTEGER NOT NULL,
    sender     TEXT NOT NULL,
    by_device  INTEGER NOT NULL,
    by_counter INTEGER NOT NULL,
    at         INTEGER NOT NULL,
    waits      INTEGER NOT NULL,
    body       BLOB NOT NULL
);
CREATE UNIQUE INDEX annotation_about
    ON annotation (chat, account, device, counter, kind, author);
CREATE INDEX annotation_row ON annotation (row);
CREATE INDEX annotation_ahead ON annotation (chat, row) WHERE waits = 1;
