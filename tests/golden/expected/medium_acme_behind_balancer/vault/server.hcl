ui                   = false
cluster_name         = "devplat"
api_addr             = "https://vault:8200"
cluster_addr         = "https://127.0.0.1:8201" # a cluster of one
log_format           = "json"
default_lease_ttl    = "1h"
max_lease_ttl        = "24h"
raw_storage_endpoint = false

storage "raft" {
  path    = "/openbao/file"
  node_id = "vault"
}

listener "tcp" {
  address         = "0.0.0.0:8200"
  cluster_address = "127.0.0.1:8201"
  tls_cert_file   = "/openbao/tls/server.pem"
  tls_key_file    = "/openbao/tls/server.key"
  tls_min_version = "tls12"
  telemetry {
    # Whoever measures is on a network with this server, as are agents and nobody else. A token would open more than
    # this path, and none is good while the server is sealed - when somebody has to notice it.
    unauthenticated_metrics_access = true
  }
}

telemetry {
  prometheus_retention_time = "24h"
  disable_hostname          = true
}

# Two devices: a request is served as long as one of them takes its entry.
audit "file" "file" {
  description = "kept and turned over by server.sh"
  options {
    file_path = "/openbao/logs/audit.log"
    mode      = "0600"
  }
}

audit "file" "stdout" {
  description = "the engine's log"
  options {
    file_path = "stdout"
  }
}
