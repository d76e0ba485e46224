-- How far a message of this account to a group has come: so many others have it, and have read it, of so
-- many. Made where it is not there: homes from before it have none.
CREATE TABLE IF NOT EXISTS reach (
    account   INTEGER NOT NULL,
    device    INTEGER NOT NULL,
    counter   INTEGER NOT NULL,
    delivered INTEGER NOT NULL,
    read      INTEGER NOT NULL,
    members   INTEGER NOT NULL,
    PRIMARY KEY (account, device, counter)
) WITHOUT ROWID;
