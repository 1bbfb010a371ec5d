"""What sites and yt-dlp say when they refuse, and the code of each: the last resort, where types and statuses are mute.

What belongs here: tables of regular expressions on the words of a failure in lower case, read from top to bottom; the
first that is found decides. The words come without links, ids and advice (see `failures.py`), but a site may put
anything into them, a title or a name too. So a phrase is a piece of a sentence that states a refusal, never a single
word that a title may hold; what may begin with anything is tied to its beginning (`^`) or end (`$`).
"""

import re

_THING = (
    r"(?:video|content|clip|post|tweet|track|program(?:me)?|episode|vod|stream|live ?stream|media|item|event|broadcast"
    r"|playlist|channel|account|page|song|show)"
)
_NAMED = rf"\b{_THING}(?: \S+)?"  # `video`, or `video 4711`
_PLACE = r"(?:your|this) (?:current )?(?:country|location|region|territory|area)"
_SAYS = r"^(?:\S+ (?:said|says): )?(?:sorry, )?(?:(?:this|the|that|requested) )?"

_SITES: list[tuple[str, str]] = [
    # ---- what the worker lacks --------------------------------------------------------------------------------------
    ("impersonation_missing", r"blocked due to its tls fingerprint"),
    ("impersonation_missing", r"required impersonation dependency"),
    ("impersonation_missing", r"impersonate target .{0,60}not available"),
    ("impersonation_missing", r"none of these impersonate targets"),
    ("impersonation_missing", r"no impersonate target is available"),
    ("dependency_missing", r"^pycryptodomex not found"),
    ("site_unsupported", r"^phantomjs not found"),  # it is kept from yt-dlp, for it would fetch by itself
    ("dependency_missing", r"dependenc(?:y|ies) (?:are|is|needs? to be) installed"),
    ("stream_unsupported", r"ffmpeg could not be found"),
    ("stream_unsupported", r"^rtmp download detected"),
    ("stream_unsupported", r"^live (?:dash|hls) (?:videos|streams) are not supported"),
    ("network_blocked", r"^access to this webpage has been blocked by"),
    ("blocked_scheme", r"urls are disabled by default in yt-dlp"),
    # ---- countries, before rights: what is blocked in one country only is had through another -----------------------
    (
        "geo_blocked",
        rf"(?:available|accessible|viewable|licensed|playable|released|blocked(?: it)?) (?:in|from|to|for|at) {_PLACE}",
    ),
    ("geo_blocked", rf"(?:restricted|unavailable) (?:in|from|to|for) {_PLACE}"),
    ("geo_blocked", r"not available .{0,40}due to geo"),
    ("geo_blocked", r"^geo-?(?:restricted|blocked)"),
    ("geo_blocked", r"may be deleted or geo-restricted"),
    ("geo_blocked", r"^no media links found; possibly due to geo restriction"),
    ("geo_blocked", r"only (?:available|licensed to users) in (?:mainland )?\w+$"),
    ("geo_blocked", rf"{_THING} is available in \w+ only$"),
    ("drm_protected", rf"{_THING} is drm[- ]protected"),
    ("drm_protected", r"^this format is drm protected"),
    ("drm_protected", r"known to use drm protection"),
    ("drm_protected", r"^unsupported drm$"),
    ("drm_protected", r"^missing id in f4m drm$"),
    ("copyright_blocked", r"who has blocked it\b"),
    ("copyright_blocked", r"blocked it on copyright grounds"),
    ("copyright_blocked", r"due to a copyright claim"),
    ("copyright_blocked", r"because of copyright$"),
    ("copyright_blocked", r"due to rightholder complaint"),
    # ---- suspicion and limits ---------------------------------------------------------------------------------------
    ("bot_check", r"confirm (?:that )?you(?:'re| are) not a (?:ro)?bot\b"),
    ("bot_check", r"you are suspected as a bot"),
    ("bot_check", r"caused by cloudflare anti-bot challenge"),
    ("bot_check", r"unusual traffic from your"),
    ("captcha", r"(?:please|and|you|to) (?:solve|complete|pass|enter|answer) (?:a|the|this) captcha\b"),
    ("captcha", r"is requiring a captcha challenge"),
    ("session_limited", r"content isn't available, try again later"),
    ("session_limited", r"(?:session|account) has been rate-limited by youtube"),
    ("rate_limited", r"you (?:are|have been) (?:being )?rate[- ]?limited"),
    ("rate_limited", r"you have exceeded the rate[- ]?limit"),
    ("rate_limited", r"^(?:error\(s\) while querying api: )?rate[- ]?limit exceeded"),
    ("rate_limited", r"^too many requests"),
    ("rate_limited", r"^request is (?:blocked|rejected) by server"),
    ("rate_limited", r"please wait (?:a few minutes|and try)"),
    ("ip_blocked", r"your ip (?:address )?(?:is|may be|has been|was) (?:likely )?(?:being )?(?:blocked|banned)"),
    ("ip_blocked", r"your ip address is unable to access"),
    # ---- doors that a key opens -------------------------------------------------------------------------------------
    ("age_restricted", r"sign in to confirm your age"),
    ("age_restricted", r"inappropriate for some users"),
    ("age_restricted", r"access age-restricted content"),
    ("age_restricted", rf"{_SAYS}{_THING} is age[- ]restricted"),
    ("age_restricted", r"only available for age verified users"),
    ("age_restricted", r"^adult verification is required"),
    ("age_restricted", r"age[- ]verification (?:is )?required"),
    ("age_restricted", r"may not be comfortable for some audiences"),
    ("age_restricted", r"^nsfw tweet requires authentication"),
    ("age_restricted", r"account cannot access nsfw"),
    ("age_restricted", r"^restricted video\b"),
    ("members_only", r"members-only content like this"),
    ("members_only", r"^join this channel to get access"),
    ("members_only", r"available to this channel's members"),
    ("members_only", r"(?:is|are) (?:only )?(?:available )?(?:for|to) (?:channel )?(?:members|subscribers)\b"),
    ("members_only", r"(?:is|are) (?:only )?(?:available )?(?:for|to) premium (?:members|users)\b"),
    ("members_only", r"access to this subscriber-only content"),
    ("members_only", r"is a supporter-only video"),
    ("members_only", rf"{_THING} requires (?:a |an active )?(?:subscription|payment|purchase)"),
    ("members_only", r"with the appropriate subscription"),
    ("members_only", r"not subscribed to this content"),
    ("members_only", r"is only for vip accounts"),
    ("members_only", rf"{_THING} is paid, subscribe"),
    ("members_only", r"you need to purchase"),
    ("members_only", r"(?:coin|ticket) purchase is required"),
    ("members_only", r"does not have tickets to this event"),
    ("members_only", r"requires \w+ premium"),
    ("members_only", r"participating tv providers"),
    ("members_only", r"cable service provider subscription"),
    ("members_only", r"is not free\. you have to pay"),
    ("private", rf"{_SAYS}private video(?:$|\.)"),
    ("private", rf"{_SAYS}{_THING} is (?:a )?private(?: video| playlist)?\b"),
    ("password_required", r"is protected by a pass(?:word|code)\b"),
    ("password_required", r"^(?:this (?:video|content) is )?password[- ]protected\b"),
    ("password_required", r"^(?:wrong|invalid|incorrect) (?:video )?password$"),
    ("embed_only", r"cannot download embed-only video"),
    ("embed_only", r"this is an embed-only presentation"),
    ("embed_only", r"setting a referer header might be required"),
    # ---- not yet, no longer -----------------------------------------------------------------------------------------
    ("upcoming", r"^(?:this )?live (?:event|stream|broadcast) (?:will (?:begin|start)|is scheduled for)"),
    ("upcoming", r"^this event will (?:begin|start)"),
    ("upcoming", r"^premieres? (?:in|on|at|will|shortly)\b"),
    ("upcoming", r"^[\w ]{0,40}\bnot (?:yet )?started(?: yet)?$"),
    ("upcoming", r"^the video will be available (?:after|at|on|in)\b"),
    ("upcoming", r"^this video is not available yet\. release date"),
    ("upcoming", r"^this \w+(?: \w+)? is not yet available$"),
    ("processing", r"\bprocessing this video\b"),
    ("processing", rf"{_SAYS}{_THING} is (?:still )?(?:being )?process(?:ed|ing)\b"),
    ("processing", r"may still be (?:uploading|processing)"),
    ("processing", r"ended but not (?:yet )?downloadable"),
    ("processing", r"the archive will be available shortly"),
    (
        "no_recording",
        r"^(?:this |the )?(?:live ?stream|live|stream|event|broadcast|twitter space) (?:has |was |have )?ended\b",
    ),
    ("no_recording", r"live ?stream recording is not available"),
    ("no_recording", r"^neither archive nor live is available"),
    ("channel_not_live", r"^(?:this |the )?(?:channel|streamer|user|stream|radio|model) is not (?:currently )?live\b"),
    (
        "channel_not_live",
        r"^(?:this |the )?(?:channel|streamer|user|stream|radio|model|video) is (?:currently )?offline\b",
    ),
    # ---- gone -------------------------------------------------------------------------------------------------------
    ("removed", rf"{_NAMED} (?:has been|have been|was|been) (?:\w+ )?(?:removed|deleted|taken down)\b"),
    ("removed", rf"{_NAMED} (?:is |are |in )?no longer (?:available|exists?|online)"),
    ("removed", rf"{_NAMED} (?:does not|doesn't) exist\b"),
    ("removed", r"\baccount (?:associated with this video )?has been (?:terminated|closed|suspended)"),
    ("removed", r"from (?:a suspended account|an account that no longer exists)"),
    ("removed", rf"{_NAMED} isn't available any ?more"),
    ("removed", r"most likely expired$"),
    ("removed", r"^(?:link|stream|the link|this stream) (?:is|has) expired"),
    ("removed", rf"^{_THING} not found\b"),
    # ---- keys that are asked for in looser words --------------------------------------------------------------------
    ("cookies_needed", r"^fresh cookies\b"),
    ("cookies_needed", r"cookies \(not necessarily logged in\) are needed"),
    ("cookies_needed", r"refresh your cookies in"),
    ("cookies_needed", r"cookies (?:are|is) (?:needed|required|no longer valid)"),
    ("cookies_needed", r"^required cookies .{0,80}were not found"),
    ("login_required", r"only available for registered users"),
    ("login_required", r"^log ?in (?:is )?required\b"),
    ("login_required", r"^login details are needed"),
    ("login_required", r"\b(?:requires?|requiring|needs?|need to|must|have to) (?:be )?(?:a )?log(?:ged)?[- ]?in\b"),
    ("login_required", r"\blog in (?:to|for|into|if) "),
    ("login_required", r"^login if you have permissions"),
    ("login_required", r"^(?:please )?sign in\b"),
    ("login_required", r"\bsign in to (?:view|see|watch|access|continue)\b"),
    ("login_required", r"^account authentication is required"),
    ("login_required", r"^an account is needed to"),
    ("login_required", r"^instagram sent an empty media response"),
    ("login_required", r"authentication may be needed"),
    ("login_required", r"not authorized to view"),
    ("login_required", r"account is likely either private"),
    ("login_required", r"you do not have (?:permission|access) to"),
    ("login_required", r"your account does not have access"),
    ("login_required", r"an account that has (?:opted in|been approved) is required"),
    ("login_required", r"^unable to log ?in\b"),
    ("login_required", r"^login failed\b"),
    ("login_required", r"^invalid (?:user ?name|login)"),
    ("login_required", r"tokens have been invalidated"),
    ("login_required", r"access token (?:passed to yt-dlp is not valid|has expired)"),
    # ---- yt-dlp's own view of the site ------------------------------------------------------------------------------
    ("extractor_broken", r"content is not available on this app"),
    ("extractor_broken", r"watch on the latest version of youtube"),
    ("extractor_broken", r"^failed to extract any player response"),
    ("no_formats", r"^requested format is not available"),
    ("no_formats", r"^no video formats found"),
    ("no_formats", r"^could not find (?:any |suitable )?(?:video )?formats"),
    ("no_formats", r"^no (?:supported )?formats (?:found|are available)"),
    ("site_unsupported", r"^this website is (?:no longer|not) supported"),
    (
        "no_video_found",
        r"^no (?:valid |supported )?(?:video|videos|media|video/audio|video content|media links)(?: \w+){0,3} found\b",
    ),
    ("no_video_found", r"^no (?:valid |supported )?(?:video|videos|media) found\b"),
    ("no_video_found", r"^no video could be found in this"),
    ("no_video_found", r"^there is no video\b"),
    ("no_video_found", r"\b(?:page|article|post|url) does(?:n't| not) (?:contain|have) (?:a|any) videos?\b"),
    ("no_video_found", r"^[\w#-]+(?: [\w#-]+)? is not a video\b"),
    ("no_video_found", r"^no video (?:on|in) the"),
    ("unsupported_url", r"^unsupported url"),
    ("unsupported_url", r"^no suitable extractor"),
    ("unsupported_url", r"is not a valid url$"),
    ("unsupported_url", r"^invalid url\b"),
    ("unsupported_url", r"to download a blob url"),
    ("invalid_url", r"^incomplete youtube id"),
    ("rate_limited", r"(?:^|[.,;:] ?)(?:please )?(?:try again|try) later$"),
    ("unavailable", rf"{_SAYS}{_THING} (?:is )?(?:currently )?(?:unavailable|not available)\b"),
    ("unavailable", rf"{_SAYS}{_THING} (?:is )?(?:unplayable|restricted|inaccessible)$"),
    ("unavailable", rf"{_SAYS}{_THING} isn't available$"),
]

# What a network library or yt-dlp's downloader says.
_NETWORKS: list[tuple[str, str]] = [
    ("disk_full", r"no space left on device"),
    ("disk_full", r"disk quota exceeded"),
    ("tls_verification", r"certificate[_ ]verify[_ ]failed"),
    ("tls_verification", r"certificate is not valid"),
    ("dns_failed", r"name or service not known"),
    ("dns_failed", r"name resolution"),
    ("dns_failed", r"failed to resolve"),
    ("dns_failed", r"getaddrinfo"),
    ("dns_failed", r"nodename nor"),
    ("incomplete_read", r"\d bytes read\b"),
    ("incomplete_read", r"\d more expected"),
    ("incomplete_read", r"downloaded \d+ bytes, expected"),
    ("incomplete_read", r"incompleteread"),
    ("timed_out", r"\btimed? ?out\b"),
    ("empty_response", r"^fragment \d+ not found"),
    ("empty_response", r"^did not get any data"),
    ("empty_response", r"downloaded file is empty"),
    ("connection_lost", r"connection (?:was )?(?:reset|refused|aborted|broken|closed)"),
    ("connection_lost", r"broken pipe"),
    ("connection_lost", r"remote end closed"),
    ("connection_lost", r"(?:network|host) (?:is )?unreachable"),
]

# What yt-dlp only warns of before it finds no format.
_WARNINGS: list[tuple[str, str]] = [
    ("javascript_runtime_missing", r"no supported javascript runtime"),
    ("javascript_runtime_missing", r"(?:signature|n challenge) solving failed"),
    ("po_token_needed", r"formats require a gvs po token which was not provided"),
]

_ANNOUNCED = re.compile(r"\bin (\d{1,4}) (minute|hour|day)s?\b")
_SECONDS = {"minute": 60, "hour": 3600, "day": 86_400}


def code_of_words(words: str) -> str | None:
    """The code of what a site or an extractor said (lower case); None when it is not known."""
    return _first(_SITES, words)


def code_of_network_words(words: str) -> str | None:
    """The code of what a network library or a downloader said (lower case); None when it is not known."""
    return _first(_NETWORKS, words)


def code_of_warnings(warnings: str) -> str | None:
    """Why there is no format, from what yt-dlp warned of before (lower case); None when it says nothing of it."""
    return _first(_WARNINGS, warnings)


def announced_seconds(words: str) -> int | None:
    """The seconds until a premiere of which a site says "in 3 hours"; None when it says none."""
    found = _ANNOUNCED.search(words)
    return int(found[1]) * _SECONDS[found[2]] if found else None


def codes() -> set[str]:
    """Every code that these tables can give."""
    return {code for code, _ in (*_SITES, *_NETWORKS, *_WARNINGS)}


def _first(table: list[tuple[str, str]], words: str) -> str | None:
    return next((code for code, phrase in table if re.search(phrase, words)), None)
