# How the playbooks reach your services. Copy to vault/keys.py with: install -m 600 vault/keys.example.py vault/keys.py
# The file is read as plain `name = value` lines, never executed; MISP_PLAYBOOK_<NAME> in the environment wins over it.
# A name that is not known is refused.

# Required: your MISP server and your API key (Global Actions, My Profile, Auth keys)
misp_url = ""
misp_key = ""
# True; the path of a CA bundle, for a certificate of your own CA; False to skip the check (which every report will say)
misp_verifycert = True
# Where misp-modules listens; the parameter misp_modules_url wins over it
misp_modules_url = "http://127.0.0.1:6666"

# Optional: leave empty what you do not use
mattermost_playbook_user = "MISP Playbook"
mattermost_hook = ""
slack_hook = ""
thehive_url = ""
thehive_key = ""
virustotal_apikey = ""
shodan_apikey = ""

# API calls that your keys may make, in all runs on this machine together; 0: no limit. These are VirusTotal's free tier
# and Shodan's one request a second.
virustotal_calls_per_minute = 4
virustotal_calls_per_day = 500
shodan_calls_per_minute = 60
shodan_calls_per_day = 0
# Domains of your own: no entry that names one, or a name below it, is ever sent to a module
internal_domains = []
# The strictest TLP of MISP's matches that Mattermost and Slack, and TheHive, may get; stricter ones are only in the
# report. clear, green, amber, amber+strict or red; with red, a run with the parameter tlp red is told to the chats, too
chat_max_tlp = "amber"
thehive_max_tlp = "amber"
