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
      secret_id_response_wrapping_path = "auth/approle/role/devplat-woodpecker-server/secret-id"
    }
  }
}

template_config {
  exit_on_retry_failure         = false
  static_secret_render_interval = "5m"
}

template {
  destination          = "/run/secrets/agent_secret"
  contents             = "{{ with secret \"secret/data/devplat/devplat/woodpecker-agent-secret\" }}{{ .Data.data.value }}{{ end }}"
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
  destination          = "/run/secrets/datasource"
  contents             = "postgres://woodpecker_{{ with secret \"secret/data/devplat/devplat/woodpecker-database-password\" }}{{ .Data.data.value | sha256Hex | printf \"%.8s\" }}{{ end }}:{{ with secret \"secret/data/devplat/devplat/woodpecker-database-password\" }}{{ .Data.data.value }}{{ end }}@postgres:5432/woodpecker?sslmode=verify-full\u0026sslrootcert=/run/secrets/database_roots.pem"
  perms                = "0400"
  backup               = false
  error_on_missing_key = true
}

template {
  destination          = "/run/secrets/gitea_client"
  contents             = "{{ with secret \"secret/data/devplat/devplat/woodpecker-gitea-client-id\" }}{{ .Data.data.value }}{{ end }}"
  perms                = "0400"
  backup               = false
  error_on_missing_key = true
}

template {
  destination          = "/run/secrets/gitea_secret"
  contents             = "{{ with secret \"secret/data/devplat/devplat/woodpecker-gitea-client-secret\" }}{{ .Data.data.value }}{{ end }}"
  perms                = "0400"
  backup               = false
  error_on_missing_key = true
}

template {
  destination          = "/run/secrets/grpc_secret"
  contents             = "{{ with secret \"secret/data/devplat/devplat/woodpecker-grpc-secret\" }}{{ .Data.data.value }}{{ end }}"
  perms                = "0400"
  backup               = false
  error_on_missing_key = true
}

template {
  destination          = "/run/secrets/metrics_token"
  contents             = "{{ with secret \"secret/data/devplat/devplat/woodpecker-metrics-token\" }}{{ .Data.data.value }}{{ end }}"
  perms                = "0400"
  backup               = false
  error_on_missing_key = true
}

# The last one: when it is written, the others are. Needs every secret, so that it waits for them.
template {
  destination          = "/run/agent/rendered"
  contents             = "postgres-roots {{ with secret \"secret/data/devplat/devplat/postgres-roots\" }}{{ .Data.metadata.version }}{{ end }}\nwoodpecker-agent-secret {{ with secret \"secret/data/devplat/devplat/woodpecker-agent-secret\" }}{{ .Data.metadata.version }}{{ end }}\nwoodpecker-database-password {{ with secret \"secret/data/devplat/devplat/woodpecker-database-password\" }}{{ .Data.metadata.version }}{{ end }}\nwoodpecker-gitea-client-id {{ with secret \"secret/data/devplat/devplat/woodpecker-gitea-client-id\" }}{{ .Data.metadata.version }}{{ end }}\nwoodpecker-gitea-client-secret {{ with secret \"secret/data/devplat/devplat/woodpecker-gitea-client-secret\" }}{{ .Data.metadata.version }}{{ end }}\nwoodpecker-grpc-secret {{ with secret \"secret/data/devplat/devplat/woodpecker-grpc-secret\" }}{{ .Data.metadata.version }}{{ end }}\nwoodpecker-metrics-token {{ with secret \"secret/data/devplat/devplat/woodpecker-metrics-token\" }}{{ .Data.metadata.version }}{{ end }}\n{{ timestamp }}\n"
  perms                = "0400"
  backup               = false
  error_on_missing_key = true
}
