"""Pictures: nets as drawings, training runs as curves. SVG and PNG, without any program beside Python's packages."""
