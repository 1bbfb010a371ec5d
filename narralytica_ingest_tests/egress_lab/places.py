"""The addresses of the laboratory: which belong to whom, and which of them nobody may reach."""

PUBLIC = "8.8.4.4"
PUBLIC_TOO = "93.184.215.14"
PUBLIC_V6 = "2600:1f18::5"
RESOLVER = "8.8.8.8"

# The worker's own side, and the two ends of the cable.
WORKER, WORKER_V6 = "10.77.0.2", "fd77::2"
WORKER_PUBLIC = "198.41.0.4"  # public by its number, and the worker's own
GATEWAY, GATEWAY_V6, GATEWAY_LINK_LOCAL = "10.77.0.1", "fd77::1", "fe80::1"
WORKER_LINK_LOCAL = "fe80::2"
WORKER_LINK = "uplink"

OPEN_PORTS = (80, 443)
PORTS = (22, 80, 443, 554, 1755, 1935, 5432, 6379, 8080)  # on each, somebody listens everywhere
TLS_PORTS = (443,)

# Nobody may reach these: the internet's end of the cable answers for all of them.
FORBIDDEN = (
    "10.1.2.3",
    "172.16.5.4",
    "172.31.255.254",
    "192.168.1.1",
    "100.64.0.9",
    "100.127.255.1",
    "169.254.169.254",
    "169.254.170.2",
    "198.18.0.7",
    "192.0.0.8",
    "192.0.2.66",
    "198.51.100.9",
    "203.0.113.77",
    "192.88.99.1",
    "240.0.0.1",
    "fd00:ec2::254",
    "fc00::7",
    "fec0::1",
    "fe80::1%uplink",
    "64:ff9b::a01:203",
    "64:ff9b:1::a01:203",
    "2002:a01:203::1",
    "2001:0:a01:203::1",
    "2001:db8::1",
    "100::1",
    GATEWAY,
)
# And these are the worker itself.
OWN = ("127.0.0.1", "127.0.0.2", "127.255.255.254", "0.0.0.0", "::1", WORKER, WORKER_V6, WORKER_PUBLIC)
# No connection can be made to these (the kernel refuses): there is no canary, but a verdict all the same.
UNREACHABLE = ("224.0.0.251", "239.255.255.250", "255.255.255.255", "ff02::1", "::")
