log_format = "json"

vault {
  address = "https://vault:8200"
  ca_cert = "/run/agent/ca.pem"
  retry {
    num_retries = 3 # of one request; whole rounds are repeated for ever
  }
}

auto_auth {
  method "approle" {
    mount_path  = "auth/approle"
    min_backoff = "1s"
    max_backoff = "5s"
    config = {
      role_id_file_path                = "/run/agent/role_id"
      secret_id_file_path              = "/run/agent/secret_id"
      secret_id_response_wrapping_path = "auth/approle/role/devplat-postgres-exporter/secret-id"
    }
  }
}

template_config {
  exit_on_retry_failure         = false
  static_secret_render_interval = "5m"
}

template {
  destination          = "/run/secrets/database_password"
  contents             = "{{ with secret \"secret/data/devplat/devplat/postgres-exporter-password\" }}{{ .Data.data.value }}{{ end }}"
  perms                = "0400"
  backup               = false
  error_on_missing_key = true
}

template {
  destination          = "/run/secrets/database_roots.pem"
  contents             = "{{ with secret \"secret/data/devplat/devplat/postgres-roots\" }}{{ .Data.data.value }}{{ end }}"
  perms                = "0400"
  backup               = false
  error_on_missing_key = true
}

template {
  destination          = "/run/secrets/database_user"
  contents             = "metrics_{{ with secret \"secret/data/devplat/devplat/postgres-exporter-password\" }}{{ .Data.data.value | sha256Hex | printf \"%.8s\" }}{{ end }}"
  perms                = "0400"
  backup               = false
  error_on_missing_key = true
}

# The last one: when it is written, the others are. Needs every secret, so that it waits for them.
template {
  destination          = "/run/agent/rendered"
  contents             = "postgres-exporter-password {{ with secret \"secret/data/devplat/devplat/postgres-exporter-password\" }}{{ .Data.metadata.version }}{{ end }}\npostgres-roots {{ with secret \"secret/data/devplat/devplat/postgres-roots\" }}{{ .Data.metadata.version }}{{ end }}\n{{ timestamp }}\n"
  perms                = "0400"
  backup               = false
  error_on_missing_key = true
}
