"""An HTTP/1.1 client for one origin, made for one kind of call that is made a million times.

A general client costs several times what the call itself does. This one does only what the hot
calls need, on `asyncio.Protocol` and `httptools` (llhttp): heads that are prepared once, bodies
that are sent without being joined, kept connections, and one timer for the deadlines of all calls.
It follows no redirect, knows neither cookies nor proxies, and sends a request once: what fails is
told, never tried again.
"""
