# Made by cyberlab from a form: the same form always gives the same text.

# Start from a base image of the lab
FROM cyberlab/python

# Python libraries
RUN pip install \
      'fastapi[all,standard]<1,>=0.110' \
      'numpy~=2.1' \
      'pillow!=10.0.0' \
      requests \
      'scipy==1.*' \
      torch==2.4.0+cpu \
      'zope-interface>=5'

# The folder of your program
WORKDIR /usr/src/app

# Your files; they come late, so that a change in them rebuilds little else
COPY --chown=1000:1000 files/ ./

# Run as the ordinary user "app", never as root
USER 1000:1000

# What runs when a container starts
CMD ["python3", "main.py"]
