"""The web server's shape. Few processes with many threads: a hop that waits for a biller or an
outcome holds a thread, and threads are cheap where another process is not.
"""

import sys

from app import markets
from app.settings import Settings

try:
    _settings = Settings()
    markets.load(_settings.kibanda_market)  # refused here it is one sentence, and not one a worker
except ValueError as error:
    sys.exit(f"web: {error}")

bind = f"127.0.0.1:{_settings.port}"  # TLS and the world are the reverse proxy's business
workers = _settings.web_workers
worker_class = "app.web.server.WholeRequestWorker"
threads = _settings.web_threads
backlog = 512
keepalive = 75  # longer than a proxy keeps its idle connections, so that it closes them, not we
timeout = 30
graceful_timeout = 8  # all of a stop is promised within 10 s
accesslog = None  # the callback's secret is in the query string
errorlog = "-"
loglevel = "warning"
control_socket_disable = True  # nobody should command a running server through a file
