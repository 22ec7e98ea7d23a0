# Made by cyberlab from a form: the same form always gives the same text.

# Start from a base image of the lab
FROM cyberlab/python

# The folder of your program
WORKDIR /usr/src/app

# Your files; they come late, so that a change in them rebuilds little else
COPY --chown=1000:1000 files/ ./

# Ports that your program listens on
EXPOSE 9000 9001

# Run as the ordinary user "app", never as root
USER 1000:1000

# What runs when a container starts
CMD ["python3", "main.py"]
