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
-- 4 failed. outgoing: of this account, from any of its devices. sender: in groups, who sent it. note: 0 none, 1 waiting, 2 lost, 3 update needed. Times are unix milliseconds.
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
    sender      TEXT
);
CREATE UNIQUE INDEX message_id ON message (account, device, counter);
CREATE INDEX message_chat ON message (chat, row);
CREATE INDEX message_incoming ON message (row) WHERE outgoing = 0;
CREATE INDEX message_open ON message (chat, state, counter) WHERE outgoing = 1 AND state IN (1, 2);
CREATE INDEX message_unread ON message (chat, counter) WHERE outgoing = 0 AND state = 2;
