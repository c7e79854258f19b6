-- Which files of Lumibot's old caches are in the store already, and were compared with it, so that they need not be read again.
--
-- `fingerprint` tells one state of a file from another. `versions` are the versions of series that its bars are in: when
-- one of them is not current any more, the file has to be read again to find out whether the store has its contents.

CREATE TABLE {db}.migrated_file (
    path VARCHAR NOT NULL,
    fingerprint VARCHAR NOT NULL,
    rows BIGINT NOT NULL,
    versions INTEGER[] NOT NULL,
    migrated_at TIMESTAMP NOT NULL
);
