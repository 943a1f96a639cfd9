# What the answers of the installation say; a change here is a new version of the template.
variable "image" {
  type        = string
  description = "Image of workspaces, by digest."
  default     = ""
}

variable "docker_host" {
  type    = string
  default = "tcp://socket-proxy-coder:2375"
}

variable "arch" {
  type    = string
  default = "amd64"
}

variable "max_cpu_cores" {
  type    = number
  default = 8
}

variable "max_memory_gb" {
  type    = number
  default = 16
}

variable "environment" {
  type        = list(string)
  description = "Names of the company's proxy, where there is one."
  default = [
  ]
}
