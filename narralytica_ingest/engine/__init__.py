"""How runs execute: Celery workers with the definitions preloaded, and what one run does to stay alive and stoppable."""
