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
      secret_id_response_wrapping_path = "auth/approle/role/devplat-gitea/secret-id"
    }
  }
}

template_config {
  exit_on_retry_failure         = false
  static_secret_render_interval = "5m"
}

template {
  destination          = "/run/secrets/database_password"
  contents             = "{{ with secret \"secret/data/devplat/devplat/gitea-database-password\" }}{{ .Data.data.value }}{{ end }}"
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
  contents             = "gitea_{{ with secret \"secret/data/devplat/devplat/gitea-database-password\" }}{{ .Data.data.value | sha256Hex | printf \"%.8s\" }}{{ end }}"
  perms                = "0400"
  backup               = false
  error_on_missing_key = true
}

template {
  destination          = "/run/secrets/internal_token"
  contents             = "{{ with secret \"secret/data/devplat/devplat/gitea-internal-token\" }}{{ .Data.data.value }}{{ end }}"
  perms                = "0400"
  backup               = false
  error_on_missing_key = true
}

template {
  destination          = "/run/secrets/lfs_jwt_secret"
  contents             = "{{ with secret \"secret/data/devplat/devplat/gitea-lfs-jwt-secret\" }}{{ .Data.data.value }}{{ end }}"
  perms                = "0400"
  backup               = false
  error_on_missing_key = true
}

template {
  destination          = "/run/secrets/metrics_token"
  contents             = "{{ with secret \"secret/data/devplat/devplat/gitea-metrics-token\" }}{{ .Data.data.value }}{{ end }}"
  perms                = "0400"
  backup               = false
  error_on_missing_key = true
}

template {
  destination          = "/run/secrets/oauth2_jwt_secret"
  contents             = "{{ with secret \"secret/data/devplat/devplat/gitea-oauth2-jwt-secret\" }}{{ .Data.data.value }}{{ end }}"
  perms                = "0400"
  backup               = false
  error_on_missing_key = true
}

template {
  destination          = "/run/secrets/redis_ca.pem"
  contents             = "{{ with secret \"secret/data/devplat/devplat/redis-roots\" }}{{ .Data.data.value }}{{ end }}"
  perms                = "0400"
  backup               = false
  error_on_missing_key = true
}

template {
  destination          = "/run/secrets/redis_cache"
  contents             = "rediss://gitea:{{ with secret \"secret/data/devplat/devplat/gitea-redis-password\" }}{{ .Data.data.value }}{{ end }}@redis:6379/0"
  perms                = "0400"
  backup               = false
  error_on_missing_key = true
}

template {
  destination          = "/run/secrets/redis_queue"
  contents             = "rediss://gitea:{{ with secret \"secret/data/devplat/devplat/gitea-redis-password\" }}{{ .Data.data.value }}{{ end }}@redis:6379/2"
  perms                = "0400"
  backup               = false
  error_on_missing_key = true
}

template {
  destination          = "/run/secrets/redis_session"
  contents             = "rediss://gitea:{{ with secret \"secret/data/devplat/devplat/gitea-redis-password\" }}{{ .Data.data.value }}{{ end }}@redis:6379/1"
  perms                = "0400"
  backup               = false
  error_on_missing_key = true
}

template {
  destination          = "/run/secrets/secret_key"
  contents             = "{{ with secret \"secret/data/devplat/devplat/gitea-secret-key\" }}{{ .Data.data.value }}{{ end }}"
  perms                = "0400"
  backup               = false
  error_on_missing_key = true
}

template {
  destination          = "/run/secrets/storage_key"
  contents             = "{{ with secret \"secret/data/devplat/devplat/gitea-storage-key\" }}{{ .Data.data.value }}{{ end }}"
  perms                = "0400"
  backup               = false
  error_on_missing_key = true
}

template {
  destination          = "/run/secrets/storage_secret"
  contents             = "{{ with secret \"secret/data/devplat/devplat/gitea-storage-secret\" }}{{ .Data.data.value }}{{ end }}"
  perms                = "0400"
  backup               = false
  error_on_missing_key = true
}

# The last one: when it is written, the others are. Needs every secret, so that it waits for them.
template {
  destination          = "/run/agent/rendered"
  contents             = "gitea-database-password {{ with secret \"secret/data/devplat/devplat/gitea-database-password\" }}{{ .Data.metadata.version }}{{ end }}\ngitea-internal-token {{ with secret \"secret/data/devplat/devplat/gitea-internal-token\" }}{{ .Data.metadata.version }}{{ end }}\ngitea-lfs-jwt-secret {{ with secret \"secret/data/devplat/devplat/gitea-lfs-jwt-secret\" }}{{ .Data.metadata.version }}{{ end }}\ngitea-metrics-token {{ with secret \"secret/data/devplat/devplat/gitea-metrics-token\" }}{{ .Data.metadata.version }}{{ end }}\ngitea-oauth2-jwt-secret {{ with secret \"secret/data/devplat/devplat/gitea-oauth2-jwt-secret\" }}{{ .Data.metadata.version }}{{ end }}\ngitea-redis-password {{ with secret \"secret/data/devplat/devplat/gitea-redis-password\" }}{{ .Data.metadata.version }}{{ end }}\ngitea-secret-key {{ with secret \"secret/data/devplat/devplat/gitea-secret-key\" }}{{ .Data.metadata.version }}{{ end }}\ngitea-storage-key {{ with secret \"secret/data/devplat/devplat/gitea-storage-key\" }}{{ .Data.metadata.version }}{{ end }}\ngitea-storage-secret {{ with secret \"secret/data/devplat/devplat/gitea-storage-secret\" }}{{ .Data.metadata.version }}{{ end }}\npostgres-roots {{ with secret \"secret/data/devplat/devplat/postgres-roots\" }}{{ .Data.metadata.version }}{{ end }}\nredis-roots {{ with secret \"secret/data/devplat/devplat/redis-roots\" }}{{ .Data.metadata.version }}{{ end }}\n{{ timestamp }}\n"
  perms                = "0400"
  backup               = false
  error_on_missing_key = true
}
