"""VirusTotal's v3 API and Shodan's host API on loopback, for the three indicators of the original's demo and 8.8.8.8.

The key says how a request goes: "bad", "quota", "forbidden", "e204" and "e500" fail, any other works.
"""

import base64
from typing import Any

from misp_playbook_lib.sandbox.server import Request, Response, Service

MD5 = "028878c4b6ab475ed0be97eca6f92af9"
SHA1 = "02c37ccdfccfe03560a4bf069f46e8ae3a5d2348"
SHA256 = "030cbd1a51f8583ccfc3fa38a28a5550dc1c84c05d6c0f5eb887d13dedf1da01"
HOST = "johnshopkin.net"
CONTACTED = "hk-ed.metercdn.net"
ADDRESS = "158.255.208.168"
ADDRESSES = ("152.89.247.66", "172.105.27.36", "44.227.65.245", "44.227.76.166", "45.61.137.20", "54.197.173.238")


def _stats(malicious: int, total: int) -> dict[str, Any]:
    undetected = total - malicious
    return {
        "last_analysis_stats": {"malicious": malicious, "undetected": undetected, "suspicious": 0, "harmless": 0},
    }


def _virustotal_object(kind: str, identifier: str, **attributes: Any) -> dict[str, Any]:
    return {"type": kind, "id": identifier, "attributes": attributes}


_FILE = _virustotal_object(
    "file", SHA256, md5=MD5, sha1=SHA1, sha256=SHA256, tlsh="T1AB", vhash="x", ssdeep="768:a:b", **_stats(55, 70)
)
_DOMAIN = _virustotal_object("domain", HOST, whois=f"Domain: {HOST}", **_stats(10, 70))
_CONTACTED = _virustotal_object("domain", CONTACTED, **_stats(10, 70))
_ADDRESS = _virustotal_object(
    "ip_address", ADDRESS, asn=9009, network="158.255.208.0/22", country="HK", **_stats(1, 81)
)
"""What the vendors know; the figures are made up where the original does not show them."""
OBJECTS = {
    **{f"files/{value}": _FILE for value in (MD5, SHA1, SHA256)},
    f"domains/{HOST}": _DOMAIN,
    f"ip_addresses/{ADDRESS}": _ADDRESS,
}
RELATED = {
    f"files/{SHA256}/contacted_domains": [_CONTACTED],
    f"domains/{HOST}/resolutions": [_virustotal_object("resolution", each, ip_address=each) for each in ADDRESSES],
    f"ip_addresses/{ADDRESS}/resolutions": [_virustotal_object("resolution", CONTACTED, host_name=CONTACTED)],
}
NOT_FOUND = {"files": 'File "{}" not found', "domains": 'Domain "{}" not found', "urls": "URL not found"} | {
    "ip_addresses": 'IP address "{}" not found'
}
VIRUSTOTAL_FAILURES = {
    "bad": (401, {"error": {"code": "WrongCredentialsError", "message": "Wrong API key"}}),
    "quota": (429, {"error": {"code": "QuotaExceededError", "message": "Quota exceeded"}}),
    "forbidden": (
        403,
        {
            "error": {
                "code": "ForbiddenError",
                "message": "You are not authorized to perform the requested operation",
            }
        },
    ),
    "e204": (204, ""),
    "e500": (500, "<html>oops</html>"),
}

_CERTIFICATE = {
    "serial": 12345,
    "sig_alg": "sha256WithRSAEncryption",
    "version": 2,
    "issuer": {"CN": "x"},
    "subject": {"CN": "metercdn.net"},
    "expires": "20320101000000Z",
    "issued": "20220101000000Z",
    "fingerprint": {
        "sha256": "2ae166ec2af00fa9bce0d9f992608f9075109d6b9a126274213a8a2d1c83ab70",
        "sha1": "0e8ff37c435bccb4082ffa95aa3ed5cbd04f6e87",
    },
    "pubkey": {"type": "rsa", "bits": 2048},
}
_SHODAN_HOST = {
    "asn": "AS9009",
    "city": "Hong Kong",
    "country_code": "HK",
    "country_name": "Hong Kong",
    "isp": "M247 Europe SRL",
    "latitude": 22.28,
    "longitude": 114.17,
    "org": "M247 Europe",
    "region_code": "HCW",
    "ports": [80, 443, 8443],
    "domains": ["158.in-addr.arpa", "metercdn.net"],
    "hostnames": ["168.208.255.158.in-addr.arpa", "metercdn.net"],
    "data": [{"port": 443, "ssl": {"cert": _CERTIFICATE}}],
}
RESOLVER = "8.8.8.8"
"""An address that Shodan surely knows."""
SHODAN_HOSTS = {
    ADDRESS: _SHODAN_HOST,
    RESOLVER: {
        "asn": "AS15169",
        "country_code": "US",
        "country_name": "United States",
        "isp": "Google LLC",
        "org": "Google LLC",
        "ports": [53, 443],
        "domains": ["dns.google"],
        "hostnames": ["dns.google"],
        "data": [{"port": 53}],
    },
}
SHODAN_FAILURES = {
    "bad": (401, {"error": "Invalid API key"}),
    "quota": (429, {"error": "Rate limit reached"}),
    "forbidden": (403, ""),
    "e204": (204, ""),
    "e500": (500, "<html>oops</html>"),
}


class Vendors(Service):
    """VirusTotal and Shodan on one loopback port."""

    name = "vendors"

    def handle(self, request: Request) -> Response:
        """Answer Shodan's one path, and take every other for VirusTotal's."""
        if request.route.startswith("/shodan/host/"):
            return _shodan(request.route.removeprefix("/shodan/host/"), request.query.get("key", ""))
        return _virustotal(request.route.removeprefix("/api/v3/"), request.headers.get("x-apikey", ""))


def _virustotal(path: str, key: str) -> Response:
    if key in VIRUSTOTAL_FAILURES:
        return Response(*VIRUSTOTAL_FAILURES[key])
    collection, identifier, *relation = path.split("/")
    if relation:
        return Response(200, {"data": RELATED.get(path, []), "meta": {}})
    if path in OBJECTS:
        return Response(200, {"data": OBJECTS[path]})
    if collection == "urls":
        identifier = base64.urlsafe_b64decode(identifier + "==").decode()
    return Response(404, {"error": {"code": "NotFoundError", "message": NOT_FOUND[collection].format(identifier)}})


def _shodan(address: str, key: str) -> Response:
    if key in SHODAN_FAILURES:
        return Response(*SHODAN_FAILURES[key])
    if address in SHODAN_HOSTS:
        return Response(200, SHODAN_HOSTS[address])
    return Response(404, {"error": "No information available for that IP."})
