#!/usr/bin/env bash
# Fetches Apache Kafka's jars for test/interop, once. Into ~/.cache/sluice/kafka-tools, or $SLUICE_KAFKA_LIBS.
set -euo pipefail
libs=${SLUICE_KAFKA_LIBS:-$HOME/.cache/sluice/kafka-tools}
pom=$(dirname "$0")/pom.xml
if [ -f "$libs/.complete" ] && [ "$libs/.complete" -nt "$pom" ]; then
  echo "Apache Kafka's jars are in $libs"
  exit 0
fi
mkdir -p "$libs"
rm -f "$libs"/*.jar
mvn --quiet --batch-mode --file "$pom" dependency:copy-dependencies "-DoutputDirectory=$libs"
touch "$libs/.complete"
echo "Apache Kafka's jars are in $libs"
