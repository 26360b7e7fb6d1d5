#!/bin/sh
# make-certificate.sh DIR [HOSTNAME]: a self-signed certificate, DIR/tls.crt and DIR/tls.key,
# unless one is there. To use your own, put it there under these names; Envoy takes a new one
# without a restart when it is renamed into place.
set -eu
dir=$1 host=${2:-localhost}

if [ -e "$dir/tls.crt" ] && [ -e "$dir/tls.key" ]; then
    echo "certificate: keeping the one in $dir"
    exit 0
fi
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -noenc -days 365 \
    -subj "/CN=$host" -addext "subjectAltName=DNS:$host,DNS:localhost,IP:127.0.0.1" \
    -keyout "$dir/tls.key.new" -out "$dir/tls.crt.new" 2>/dev/null
# Envoy reads the key through its group; openssl alone would leave it to the owner.
chmod 640 "$dir/tls.key.new"
mv "$dir/tls.key.new" "$dir/tls.key"
mv "$dir/tls.crt.new" "$dir/tls.crt"
echo "certificate: made a self-signed one for $host in $dir, good for 365 days"
