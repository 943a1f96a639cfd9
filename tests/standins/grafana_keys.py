"""Settings of Grafana by section, those that the platform uses and their neighbours. A variable
`GF_SECTION_KEY` that is not here is refused; the real one would pass it over, and a wrong name
would be a loss of hardening that nobody sees.
"""

from __future__ import annotations

SETTINGS: dict[str, str] = {
    "default": "app_mode instance_name",
    "paths": "data logs plugins provisioning temp_data_lifetime config home",
    "server": "protocol http_addr http_port domain enforce_domain root_url serve_from_sub_path"
    " router_logging enable_gzip read_timeout min_tls_version",
    "database": "type host name user password url ssl_mode path wal cache_mode max_open_conn"
    " log_queries high_availability query_retries",
    "security": "admin_user admin_password admin_email secret_key disable_initial_admin_creation"
    " disable_gravatar cookie_secure cookie_samesite allow_embedding strict_transport_security"
    " x_content_type_options x_xss_protection content_security_policy"
    " content_security_policy_template disable_brute_force_login_protection"
    " brute_force_login_protection_max_attempts data_source_proxy_whitelist csrf_trusted_origins",
    "users": "allow_sign_up allow_org_create auto_assign_org auto_assign_org_id"
    " auto_assign_org_role verify_email_enabled default_theme home_page viewers_can_edit"
    " hidden_users user_invite_max_lifetime_duration",
    "auth": "login_cookie_name login_maximum_inactive_lifetime_duration"
    " login_maximum_lifetime_duration token_rotation_interval_minutes disable_login_form"
    " disable_login disable_signout_menu signout_redirect_url oauth_auto_login"
    " oauth_allow_insecure_email_lookup api_key_max_seconds_to_live sigv4_auth_enabled",
    "auth.anonymous": "enabled org_name org_role hide_version device_limit",
    "auth.basic": "enabled password_policy",
    "auth.generic_oauth": "enabled name icon allow_sign_up auto_login client_id client_secret"
    " scopes empty_scopes email_attribute_name email_attribute_path login_attribute_path"
    " name_attribute_path role_attribute_path role_attribute_strict groups_attribute_path"
    " id_token_attribute_name auth_url token_url api_url signout_redirect_url allowed_domains"
    " allowed_groups allow_assign_grafana_admin skip_org_role_sync tls_skip_verify_insecure"
    " tls_client_cert tls_client_key tls_client_ca use_pkce auth_style use_refresh_token"
    " validate_id_token jwk_set_url",
    "snapshots": "enabled external_enabled external_snapshot_url",
    "public_dashboards": "enabled",
    "analytics": "enabled reporting_enabled check_for_updates check_for_plugin_updates"
    " google_analytics_ua_id feedback_links_enabled",
    "news": "news_feed_enabled",
    "plugins": "preinstall preinstall_disabled preinstall_async plugin_admin_enabled"
    " plugin_admin_external_manage_enabled"
    " public_key_retrieval_disabled",
    "metrics": "enabled interval_seconds basic_auth_username basic_auth_password"
    " disable_total_stats",
    "log": "mode level filters",
    "log.console": "level format",
    "date_formats": "default_timezone full_date",
    "dashboards": "default_home_dashboard_path min_refresh_interval versions_to_keep",
    "explore": "enabled",
    "alerting": "enabled",
    "unified_alerting": "enabled execute_alerts",
    "smtp": "enabled host user password from_address",
    "live": "max_connections allowed_origins",
}
SWITCHES = ("disable_", "allow_", "use_", "cookie_secure", "auto_login", "wal")
"""Beginnings of names whose values are true or false."""


def names() -> dict[str, tuple[str, str]]:
    """`GF_SECTION_KEY` → section and key."""
    return {
        f"GF_{section}_{key}".replace(".", "_").upper(): (section, key)
        for section, keys in SETTINGS.items()
        for key in keys.split()
    }
