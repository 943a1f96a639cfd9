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
      secret_id_response_wrapping_path = "auth/approle/role/devplat-drone-server/secret-id"
    }
  }
}

template_config {
  exit_on_retry_failure         = false
  static_secret_render_interval = "5m"
}

template {
  destination          = "/run/secrets/DRONE_COOKIE_SECRET"
  contents             = "{{ with secret \"secret/data/devplat/devplat/drone-cookie-secret\" }}{{ .Data.data.value }}{{ end }}"
  perms                = "0400"
  backup               = false
  error_on_missing_key = true
}

template {
  destination          = "/run/secrets/DRONE_DATABASE_DATASOURCE"
  contents             = "postgres://drone_{{ with secret \"secret/data/devplat/devplat/drone-database-password\" }}{{ .Data.data.value | sha256Hex | printf \"%.8s\" }}{{ end }}:{{ with secret \"secret/data/devplat/devplat/drone-database-password\" }}{{ .Data.data.value }}{{ end }}@postgres:5432/drone?sslmode=disable"
  perms                = "0400"
  backup               = false
  error_on_missing_key = true
}

template {
  destination          = "/run/secrets/DRONE_DATABASE_SECRET"
  contents             = "{{ with secret \"secret/data/devplat/devplat/drone-database-secret\" }}{{ .Data.data.value }}{{ end }}"
  perms                = "0400"
  backup               = false
  error_on_missing_key = true
}

template {
  destination          = "/run/secrets/DRONE_GITEA_CLIENT_ID"
  contents             = "{{ with secret \"secret/data/devplat/devplat/drone-gitea-client-id\" }}{{ .Data.data.value }}{{ end }}"
  perms                = "0400"
  backup               = false
  error_on_missing_key = true
}

template {
  destination          = "/run/secrets/DRONE_GITEA_CLIENT_SECRET"
  contents             = "{{ with secret \"secret/data/devplat/devplat/drone-gitea-client-secret\" }}{{ .Data.data.value }}{{ end }}"
  perms                = "0400"
  backup               = false
  error_on_missing_key = true
}

template {
  destination          = "/run/secrets/DRONE_RPC_SECRET"
  contents             = "{{ with secret \"secret/data/devplat/devplat/drone-rpc-secret\" }}{{ .Data.data.value }}{{ end }}"
  perms                = "0400"
  backup               = false
  error_on_missing_key = true
}

# The last one: when it is written, the others are. Needs every secret, so that it waits for them.
template {
  destination          = "/run/agent/rendered"
  contents             = "drone-cookie-secret {{ with secret \"secret/data/devplat/devplat/drone-cookie-secret\" }}{{ .Data.metadata.version }}{{ end }}\ndrone-database-password {{ with secret \"secret/data/devplat/devplat/drone-database-password\" }}{{ .Data.metadata.version }}{{ end }}\ndrone-database-secret {{ with secret \"secret/data/devplat/devplat/drone-database-secret\" }}{{ .Data.metadata.version }}{{ end }}\ndrone-gitea-client-id {{ with secret \"secret/data/devplat/devplat/drone-gitea-client-id\" }}{{ .Data.metadata.version }}{{ end }}\ndrone-gitea-client-secret {{ with secret \"secret/data/devplat/devplat/drone-gitea-client-secret\" }}{{ .Data.metadata.version }}{{ end }}\ndrone-rpc-secret {{ with secret \"secret/data/devplat/devplat/drone-rpc-secret\" }}{{ .Data.metadata.version }}{{ end }}\n{{ timestamp }}\n"
  perms                = "0400"
  backup               = false
  error_on_missing_key = true
}
