# Both databases of the Temporal server, made or brought to the schema of this image. Safe to run again.
set -eu
prepare() {
  temporal-sql-tool --db "$1" create-database
  # Leaves a schema that is newer than this one as it is.
  temporal-sql-tool --db "$1" setup-schema --version 0.0
  temporal-sql-tool --db "$1" update-schema --schema-name "postgresql/v12/$2"
}
prepare temporal temporal
prepare temporal_visibility visibility
