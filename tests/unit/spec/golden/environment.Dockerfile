# Made by cyberlab from a form: the same form always gives the same text.

# Start from a base image of the lab
FROM cyberlab/python

# The folder of your program
WORKDIR /usr/src/app

# Settings that your program reads from its environment
ENV BACKSLASH="C:\\temp\\" \
    DOLLAR="\$HOME \${PATH:-x} \$(id)" \
    EMPTY="" \
    EQUALS="a=b=c" \
    HASH="# not a comment" \
    PLAIN="1" \
    QUOTES="say \"hi\" and 'bye'" \
    SPACES="  two words  " \
    WORDS="Grüße, 世界 😀"

# Your files; they come late, so that a change in them rebuilds little else
COPY --chown=1000:1000 files/ ./

# Run as the ordinary user "app", never as root
USER 1000:1000

# What runs when a container starts
CMD ["python3", "main.py"]
