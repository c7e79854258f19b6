"""Publishing: uploads a snapshot of the store to S3 or a folder, from where other machines open it."""
