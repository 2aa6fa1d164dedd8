"""Who may ask the sandbox's MISP: a site admin, a plain user, and keys of the admin with restrictions."""

import secrets
import string
import time
from dataclasses import dataclass
from typing import Any

from misp_playbook_lib.sandbox.misp.values import load

KEY_LENGTH = 40
INSTALLED = "2026-11-24 01:50:40"
ORGANISATION = {
    "date_created": INSTALLED,
    "date_modified": INSTALLED,
    "description": "Automatically generated admin organisation",
    "type": "ADMIN",
    "nationality": "",
    "sector": "",
    "created_by": "0",
    "contacts": None,
    "local": True,
    "restricted_to_domain": None,
    "landingpage": None,
}
ADMIN_ROLE = "admin"
PLAIN_ROLE = "User"


@dataclass(frozen=True, slots=True)
class Account:
    """One key and what its user may do.

    Args:
        key: the key, 40 letters and digits.
        role: the name of the user's role.
        read_only: the key may only read (MISP's auth_keys.read_only).
        elsewhere: the key is bound to another address than the caller's (auth_keys.allowed_ips).

    """

    key: str
    role: str
    read_only: bool = False
    elsewhere: bool = False

    @property
    def admin(self) -> bool:
        """Whether the user is a site admin."""
        return self.role == ADMIN_ROLE

    def may(self, permission: str) -> bool:
        """Say whether the key allows what needs `permission`, a field of the role."""
        return not self.read_only and bool(role(self.role)[permission])


def new_key() -> str:
    """Return a random key as MISP makes them."""
    return "".join(secrets.choice(string.ascii_letters + string.digits) for _ in range(KEY_LENGTH))


def role(name: str) -> dict[str, Any]:
    """Return a role of a fresh MISP as the API shows it."""
    found: dict[str, Any] = next(entry for entry in load("roles") if entry["name"] == name)
    return {"id": found["id"], "name": name, "created": INSTALLED, "modified": INSTALLED, **found}


def me(account: Account, organisation: dict[str, Any]) -> dict[str, Any]:
    """Return what users/view/me shows."""
    asked = str(int(time.time()))
    plain = {} if account.admin else {"gpgkey": "", "external_auth_key": "", "date_created": asked}
    its_role = role(account.role)
    del its_role["default"]
    user = {
        "id": "1" if account.admin else "2",
        "password": "*****",
        "org_id": organisation["id"],
        "email": "admin@admin.test" if account.admin else "plain@admin.test",
        "autoalert": False,
        "invited_by": "0" if account.admin else "1",
        "gpgkey": None,
        "certif_public": "",
        "nids_sid": "4000000",
        "termsaccepted": True,
        "newsread": "0",
        "role_id": its_role["id"],
        "change_pw": False,
        "contactalert": False,
        "disabled": False,
        "expiration": None,
        "current_login": "0",
        "last_login": "0",
        "force_logout": False,
        "date_created": None,
        "date_modified": asked,
        "sub": None,
        "external_auth_required": False,
        "external_auth_key": None,
        "last_api_access": asked,
        "notification_daily": False,
        "notification_weekly": False,
        "notification_monthly": False,
        "totp": "*****",
        "hotp_counter": None,
        "last_pw_change": None if account.admin else asked,
        "totp_is_set": "0",
    }
    return {
        "User": user | plain,
        "Role": its_role,
        "UserSetting": [],
        "Organisation": {"id": organisation["id"], "name": organisation["name"], "uuid": organisation["uuid"]}
        | ORGANISATION,
    }
