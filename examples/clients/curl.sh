#!/bin/sh
# Publish an order, see a repeat recognised, read it back: curl alone.
#   WEIRGATE_URL=http://127.0.0.1:8080 WEIRGATE_TOKEN=… sh examples/clients/curl.sh
set -eu
url=${WEIRGATE_URL:-http://127.0.0.1:8080}
id=$(cat /proc/sys/kernel/random/uuid)

publish() {
    curl -sS --fail-with-body --retry 3 "$url/v1/events" \
        -H "Authorization: Bearer $WEIRGATE_TOKEN" -H 'Content-Type: application/json' -d "$1"
    echo
}

# A cursor first, so that the reading below begins exactly here.
cursor=$(curl -sS "$url/v1/topics/orders.v1/cursor?at=latest" -H "Authorization: Bearer $WEIRGATE_TOKEN" |
    sed 's/.*"cursor":"\([^"]*\)".*/\1/')

order='{"eventId":"'$id'","eventType":"orders.placed.v1","source":"order-service","data":{"orderId":"ord_curl","customerId":"42","placedAt":"2026-11-21T10:15:30Z","currency":"EUR","totalAmount":5980,"items":[{"sku":"MUG-BLUE","quantity":2,"unitPrice":2990}]}}'
publish "$order" # accepted
publish "$order" # duplicate: the same id and bytes are stored once

# Long-poll: waits up to 10 s for what came after the cursor.
curl -sS -G "$url/v1/topics/orders.v1/events" --data-urlencode "from=$cursor" -d wait=10s \
    -H "Authorization: Bearer $WEIRGATE_TOKEN"
echo
