# A workspace in a container of its own. Units and names are those of the providers pinned here; the limits are those
# of the production guide, 6.2, where its text has other units.
terraform {
  required_providers {
    coder = {
      source  = "coder/coder"
      version = "2.17.0"
    }
    docker = {
      source  = "kreuzwerker/docker"
      version = "4.5.0"
    }
  }
}

provider "docker" {
  host = var.docker_host
}

data "coder_workspace" "me" {}
data "coder_workspace_owner" "me" {}

data "coder_parameter" "cpu_cores" {
  name         = "cpu_cores"
  display_name = "CPU cores"
  type         = "number"
  default      = 2
  mutable      = true
  validation {
    min = 1
    max = var.max_cpu_cores
  }
}

data "coder_parameter" "memory_gb" {
  name         = "memory_gb"
  display_name = "Memory in GB"
  type         = "number"
  default      = 4
  mutable      = true
  validation {
    min = 1
    max = var.max_memory_gb
  }
}

locals {
  name = "coder-${data.coder_workspace_owner.me.name}-${lower(data.coder_workspace.me.name)}"
  # for an edge whose certificates are not of a public authority
  roots = fileexists("${path.module}/edge_roots.pem") ? file("${path.module}/edge_roots.pem") : ""
  start = <<-EOT
    if [ -s /home/coder/.edge_roots.pem ]; then
      cat /etc/ssl/certs/ca-certificates.crt /home/coder/.edge_roots.pem >/tmp/roots.pem
      export SSL_CERT_FILE=/tmp/roots.pem CURL_CA_BUNDLE=/tmp/roots.pem GIT_SSL_CAINFO=/tmp/roots.pem
      export REQUESTS_CA_BUNDLE=/tmp/roots.pem NODE_EXTRA_CA_CERTS=/home/coder/.edge_roots.pem
    fi
  EOT
}

resource "coder_agent" "main" {
  arch = var.arch
  os   = "linux"
  dir  = "/home/coder"

  # These hide buttons; what is possible is decided by Coder's own settings (CODER_BLOCK_DIRECT and others).
  display_apps {
    vscode                 = false
    vscode_insiders        = false
    web_terminal           = true
    ssh_helper             = false
    port_forwarding_helper = false
  }
}

# One network for each workspace: workspaces of different people do not see each other.
resource "docker_network" "workspace" {
  name   = "${local.name}-${data.coder_workspace.me.id}"
  driver = "bridge"
  options = {
    "com.docker.network.bridge.enable_icc" = "false"
  }
  labels {
    label = "devplat.role"
    value = "workspace"
  }
  labels {
    label = "coder.workspace_id"
    value = data.coder_workspace.me.id
  }
}

resource "docker_volume" "home" {
  name = "coder-${data.coder_workspace.me.id}-home"
  labels {
    label = "coder.workspace_id"
    value = data.coder_workspace.me.id
  }
  lifecycle {
    ignore_changes = all
  }
}

resource "docker_image" "workspace" {
  name         = var.image
  keep_locally = true
}

resource "docker_container" "workspace" {
  count      = data.coder_workspace.me.start_count
  name       = local.name
  image      = docker_image.workspace.image_id
  hostname   = data.coder_workspace.me.name
  user       = "1000:1000"
  entrypoint = ["sh", "-c", "${local.start}\n${coder_agent.main.init_script}"]
  env = concat(
    ["CODER_AGENT_TOKEN=${coder_agent.main.token}", "HOME=/home/coder"],
    var.environment,
  )

  # MB; the same number twice is no swap. `cpu_shares`, as in the guide, is a weight and limits nothing.
  cpus        = tostring(data.coder_parameter.cpu_cores.value)
  memory      = data.coder_parameter.memory_gb.value * 1024
  memory_swap = data.coder_parameter.memory_gb.value * 1024

  init          = true
  read_only     = true
  security_opts = ["no-new-privileges:true"]
  # With no-new-privileges no program gains any by SETUID, so none is given back.
  capabilities {
    drop = ["ALL"]
  }
  # The agent is started from /tmp, and the engine's default is noexec.
  tmpfs = {
    "/tmp" = "size=1g,mode=1777,nosuid,nodev,exec"
    "/run" = "size=100m,mode=755,nosuid,nodev,noexec"
  }
  ulimit {
    name = "nofile"
    soft = 65536
    hard = 65536
  }
  ulimit {
    name = "core"
    soft = 0
    hard = 0
  }
  log_driver = "json-file"
  log_opts = {
    "max-size" = "10m"
    "max-file" = "3"
  }

  networks_advanced {
    name = docker_network.workspace.name
  }
  volumes {
    volume_name    = docker_volume.home.name
    container_path = "/home/coder"
  }
  dynamic "upload" {
    for_each = local.roots == "" ? [] : [local.roots]
    content {
      file    = "/home/coder/.edge_roots.pem"
      content = upload.value
    }
  }

  labels {
    label = "devplat.role"
    value = "workspace"
  }
  labels {
    label = "coder.owner"
    value = data.coder_workspace_owner.me.name
  }
  labels {
    label = "coder.workspace_id"
    value = data.coder_workspace.me.id
  }
}
