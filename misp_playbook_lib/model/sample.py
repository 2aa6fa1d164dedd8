"""Ordinary indicators, by kind: an entry that matches many of these would match nearly everything in MISP.

Well-known names and addresses, so that a pattern about a campaign's own has no reason to match them; the digests are of
plain words. `STRESS` are long runs of the same characters, on which a pattern with nested repetition reaches PCRE2's
match limit.
"""

import hashlib
from itertools import chain

_DIGESTS = [
    hashlib.sha512(word.encode()).hexdigest() for word in ("alder", "birch", "cedar", "elm", "fir", "oak", "pine")
]

SAMPLE: dict[str, tuple[str, ...]] = {
    "md5": tuple(digest[:32] for digest in _DIGESTS),
    "sha1": tuple(digest[:40] for digest in _DIGESTS),
    "sha256": tuple(digest[:64] for digest in _DIGESTS),
    "sha512": tuple(_DIGESTS),
    "ip-dst": (
        *("1.1.1.1", "8.8.4.4", "9.9.9.9", "13.107.42.14", "17.253.144.10", "23.185.0.2", "52.94.236.248"),
        *("64.233.160.5", "91.198.174.192", "104.16.132.229", "140.82.121.4", "151.101.1.69", "185.199.108.153"),
        *("193.0.6.139", "208.67.222.222"),
    ),
    "ipv6": (
        *("2001:4860:4860::8888", "2001:67c:2e8:22::c100:68b", "2606:4700:4700::1111", "2620:fe::fe"),
        *("2a02:ec80:300:ed1a::1", "2a04:4e42::485", "2a00:1450:4001:80b::200e", "2603:1030:20e:3::23c"),
    ),
    "domain": (
        *("wikipedia.org", "debian.org", "mozilla.org", "eff.org", "google.com", "microsoft.com", "cloudflare.com"),
        *(
            "reddit.com",
            "ubuntu.com",
            "paypal.com",
            "netflix.com",
            "adobe.com",
            "speedtest.net",
            "ripe.net",
            "bbc.co.uk",
        ),
        *("lemonde.fr", "heise.de", "circl.lu", "yandex.ru", "baidu.cn", "nic.br", "signal.me", "europa.eu"),
    ),
    "hostname": (
        *("www.wikipedia.org", "bugs.python.org", "lists.debian.org", "addons.mozilla.org", "mail.google.com"),
        *("login.live.com", "www.nytimes.com", "images.amazon.com", "api.twitter.com", "cdn.jsdelivr.net"),
        *("static.speedtest.net", "ftp.ripe.net", "www.bbc.co.uk", "www.lemonde.fr", "shop.heise.de", "maps.yandex.ru"),
    ),
    "url": (
        *("https://www.wikipedia.org/", "https://bugs.python.org/3/library/re.html", "http://lists.debian.org/devel/"),
        *("https://www.google.com/search?q=weather", "https://login.microsoft.com/common/oauth2?client=7"),
        *("http://www.bbc.co.uk/news/world-60525350", "https://cdn.jsdelivr.net/npm/vue@3.4.21/dist/vue.js"),
        *("https://www.lemonde.fr/index.php?id=12&page=2", "http://91.198.174.192/robots.txt"),
        *("https://github.com/python/cpython/pull/123#top", "https://ec.europa.eu/commission/index_en.htm"),
    ),
    "email-src": (
        *("info@wikipedia.org", "webmaster@python.org", "security@debian.org", "john.doe@google.com"),
        *("support@microsoft.com", "anne_martin@lemonde.fr", "hostmaster@ripe.net", "news+en@bbc.co.uk"),
    ),
    "filename": (
        *("setup.exe", "kernel32.dll", "report_2023.pdf", "holiday-photos.zip", "notes.txt", "budget.xlsx"),
        *("README.rst", "letter.docx", "install.sh", "logo.png", "index.html", "backup.tar.gz", "main.js"),
    ),
    "vulnerability": ("CVE-2014-0160", "CVE-2017-0144", "CVE-2019-0708", "CVE-2021-44228", "CVE-2023-34362"),
    "regkey": (
        r"HKLM\Software\Microsoft\Windows\CurrentVersion\Run",
        r"HKCU\Software\Microsoft\Office\16.0\Common",
        r"HKLM\System\CurrentControlSet\Services\Tcpip",
        r"HKCU\Software\Mozilla\Firefox\Launcher",
        r"HKCR\http\shell\open\command",
    ),
    "user-agent": (
        "Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:124.0) Gecko/20100101 Firefox/124.0",
        "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/122.0.0.0 Safari/537.36",
        "curl/8.5.0",
    ),
}

STRESS = (
    *(character * 64 + "!" for character in "a0./-_ "),
    "http://" + "a" * 64 + "." * 64 + "!",
    "a." * 64 + "!",
    "a-1_" * 32 + "!",
)

ORDINARY = tuple(chain.from_iterable(SAMPLE.values()))
