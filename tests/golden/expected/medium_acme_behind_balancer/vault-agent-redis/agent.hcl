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
      secret_id_response_wrapping_path = "auth/approle/role/devplat-redis/secret-id"
    }
  }
}

template_config {
  exit_on_retry_failure         = false
  static_secret_render_interval = "5m"
}

template {
  destination          = "/run/secrets/health_password"
  contents             = "{{ with secret \"secret/data/devplat/devplat/redis-health-password\" }}{{ .Data.data.value }}{{ end }}"
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
  destination          = "/run/secrets/tls.pem"
  contents             = "{{ with secret \"secret/data/devplat/devplat/redis-certificate\" }}{{ .Data.data.value }}{{ end }}"
  perms                = "0400"
  backup               = false
  error_on_missing_key = true
}

template {
  destination          = "/run/secrets/users.acl"
  contents             = "user default off\nuser health on \u003e{{ with secret \"secret/data/devplat/devplat/redis-health-password\" }}{{ .Data.data.value }}{{ end }} +ping\nuser gitea on \u003e{{ with secret \"secret/data/devplat/devplat/gitea-redis-password\" }}{{ .Data.data.value }}{{ end }} ~* \u0026* +@all -@admin -@dangerous\nuser gateway on \u003e{{ with secret \"secret/data/devplat/devplat/ai-gateway-redis-password\" }}{{ .Data.data.value }}{{ end }} ~litellm:* +@all -@admin -@dangerous\nuser metrics on \u003e{{ with secret \"secret/data/devplat/devplat/redis-exporter-password\" }}{{ .Data.data.value }}{{ end }} +ping +info +latency|latest +latency|histogram +slowlog|len +slowlog|get\n"
  perms                = "0400"
  backup               = false
  error_on_missing_key = true
}

# The last one: when it is written, the others are. Needs every secret, so that it waits for them.
template {
  destination          = "/run/agent/rendered"
  contents             = "ai-gateway-redis-password {{ with secret \"secret/data/devplat/devplat/ai-gateway-redis-password\" }}{{ .Data.metadata.version }}{{ end }}\ngitea-redis-password {{ with secret \"secret/data/devplat/devplat/gitea-redis-password\" }}{{ .Data.metadata.version }}{{ end }}\nredis-certificate {{ with secret \"secret/data/devplat/devplat/redis-certificate\" }}{{ .Data.metadata.version }}{{ end }}\nredis-exporter-password {{ with secret \"secret/data/devplat/devplat/redis-exporter-password\" }}{{ .Data.metadata.version }}{{ end }}\nredis-health-password {{ with secret \"secret/data/devplat/devplat/redis-health-password\" }}{{ .Data.metadata.version }}{{ end }}\nredis-roots {{ with secret \"secret/data/devplat/devplat/redis-roots\" }}{{ .Data.metadata.version }}{{ end }}\n{{ timestamp }}\n"
  perms                = "0400"
  backup               = false
  error_on_missing_key = true
}
