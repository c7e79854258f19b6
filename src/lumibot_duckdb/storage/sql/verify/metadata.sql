-- damage: the metadata of a write is a JSON object.
SELECT 'the metadata of write ' || ingest_id || ' is not a JSON object' AS what
FROM {db}.ingest
WHERE CASE WHEN json_valid(metadata) THEN json_type(metadata) <> 'OBJECT' ELSE metadata IS NOT NULL END
ORDER BY ingest_id
