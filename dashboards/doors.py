"""The last part of Flow: who asks for tokens, the HTTP listeners, and certificates."""

from board import bars, heading, lines, query
from promql import increase, rate, series, total

DOORS = [
    heading(105, "Doors: tokens, HTTP and certificates"),
    lines(
        15,
        "Tokens checked",
        "Signatures of tokens per second that were checked, and those that were known from before. A fleet that reconnects with the tokens "
        "that it has costs no check.",
        [query(rate("auth_signature_checks_total"), "checked"), query(rate("auth_cache_hits_total"), "known")],
        "ops",
        least=0,
    ),
    lines(
        16,
        "Failed logins that had to wait",
        "Failed logins and token requests per second whose answer came later on purpose, because too many failed from one address or under "
        "one name. What is good comes in at once.",
        [query(rate("auth_paused_total", "by"), "by {{by}}")],
        "ops",
        least=0,
    ),
    lines(
        34,
        "Token requests, by result",
        "Answers of the token endpoint per second. invalid_client is a wrong secret, a disabled device, or somebody who guesses.",
        [query(rate("auth_tokens_total", "result"), "{{result}}")],
        "reqps",
        least=0,
    ),
    lines(
        35,
        "Answers of the public listener",
        "HTTP answers per second by class of status: 4xx is what clients did wrong, 5xx a database that is away or a bound.",
        [query(rate("public_answers_total", "class"), "{{class}}")],
        "reqps",
        least=0,
    ),
    lines(
        36,
        "HTTP connections that got no page",
        "Connections of the public and the admin listener per second that got no page, by why.",
        [
            query(rate("public_refused_total", "cause"), "public: {{cause}}"),
            query(rate("admin_refused_total", "cause"), "admin: {{cause}}"),
        ],
        "cps",
        least=0,
    ),
    bars(
        37,
        "Certificates exchanged",
        "Certificate files that have changed, by whether the new ones are in use, and listeners whose files cannot be used now. After a failure "
        "the old certificate is still used, until it expires.",
        [
            query(increase("tls_reloads_total", "result"), "{{result}}"),
            query(total("tls_files_unused", "listener"), "{{listener}}: files that cannot be used"),
        ],
        "short",
        least=0,
        decimals=0,
    ),
    lines(
        38,
        "Certificates, days left",
        "How long the certificate that a listener uses is good. New files are used from the second in which they are there; a listener "
        "without TLS has no line.",
        [query(f"(min by (listener) ({series('tls_not_after_seconds')}) - time()) / 86400", "{{listener}}")],
        "d",
        least=0,
    ),
    lines(
        39,
        "Ready, by part",
        "How many of the chosen gateways can do this part of their work: the database answers, messages are committed or spooled, tokens are "
        "issued and checked, the doors for clients are open. /ready says the same of one.",
        [query(total("ready", "part"), "{{part}}")],
        "short",
        least=0,
        decimals=0,
    ),
    lines(
        40,
        "Issuers whose keys can be had",
        "At how many of the chosen gateways the keys of an issuer of tokens can be had. Without them only tokens that were checked before are "
        "taken.",
        [query(total("auth_issuer_up", "issuer"), "{{issuer}}")],
        "short",
        least=0,
        decimals=0,
    ),
]
