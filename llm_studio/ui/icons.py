"""The few line icons of the shell, drawn here so that nothing is fetched."""

_PATHS = {
    "brand": '<path d="M4 6.5 12 3l8 3.5v11L12 21l-8-3.5z"/><path d="M4 6.5 12 10l8-3.5M12 10v11"/>',
    "home": '<path d="M4 11 12 4l8 7v8a1 1 0 0 1-1 1h-4v-6H9v6H5a1 1 0 0 1-1-1z"/>',
    "datasets": '<ellipse cx="12" cy="6" rx="7" ry="3"/>'
    '<path d="M5 6v12c0 1.7 3.1 3 7 3s7-1.3 7-3V6M5 12c0 1.7 3.1 3 7 3s7-1.3 7-3"/>',
    "experiments": '<path d="M9 3h6M10 3v6L4.5 18.5A1.7 1.7 0 0 0 6 21h12a1.7 1.7 0 0 0 1.5-2.5L14 9V3M7.5 15h9"/>',
    "compare": '<path d="M4 20V10M10 20V4M16 20v-7M21 20H3"/>',
    "chat": '<path d="M20 11.5a7.5 7.5 0 0 1-11 6.6L4 20l1.6-4.4A7.5 7.5 0 1 1 20 11.5z"/>',
    "settings": '<path d="M4 7h9m5 0h2M4 17h2m5 0h9"/>'
    '<circle cx="15.5" cy="7" r="2.3"/><circle cx="8.5" cy="17" r="2.3"/>',
    "menu": '<path d="M4 7h16M4 12h16M4 17h16"/>',
    "sun": '<circle cx="12" cy="12" r="4"/>'
    '<path d="M12 3v2m0 14v2M3 12h2m14 0h2M5.6 5.6 7 7m10 10 1.4 1.4M5.6 18.4 7 17M17 7l1.4-1.4"/>',
    "moon": '<path d="M20 14.5A8.5 8.5 0 0 1 9.5 4 8.5 8.5 0 1 0 20 14.5z"/>',
}


def svg(name: str) -> str:
    """The icon as markup, 20 pixels, in the colour of the text around it."""
    return (
        '<svg class="ls-icon" viewBox="0 0 24 24" width="20" height="20" fill="none" stroke="currentColor"'
        f' stroke-width="1.7" stroke-linecap="round" stroke-linejoin="round" aria-hidden="true">{_PATHS[name]}</svg>'
    )
